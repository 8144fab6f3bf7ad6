// An event loop: each request makes a call to the stock service. Arguments: own port, port of the stock service.
const http = require("http");
const [port, stock] = process.argv.slice(2).map(Number);

http
  .createServer((request, response) => {
    const id = request.url.split("/").pop();
    http.get({ host: "127.0.0.1", port: stock, path: "/stock/" + id, agent: false }, (answer) => {
      answer.resume();
      answer.on("end", () => response.end("offer " + id + "\n"));
    });
  })
  .listen(port, "127.0.0.1");
