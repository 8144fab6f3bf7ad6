// A Go workload of the truth rig for older versions of Go, without other modules: PORT BACKEND.
//
// GET /w/ID makes two calls at the same time and answers "ok".
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("PORT BACKEND")
	}
	backend := "http://127.0.0.1:" + os.Args[2]
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	http.HandleFunc("/w/", func(w http.ResponseWriter, r *http.Request) {
		id := strings.TrimPrefix(r.URL.Path, "/w/")
		var both sync.WaitGroup
		for number := 1; number <= 2; number++ {
			both.Add(1)
			go call(client, fmt.Sprintf("%s/b/%s/%d", backend, id, number), &both)
		}
		both.Wait()
		io.WriteString(w, "ok")
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}

func call(client *http.Client, url string, both *sync.WaitGroup) {
	defer both.Done()
	answer, err := client.Get(url)
	if err != nil {
		log.Print(err)
		return
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
}
