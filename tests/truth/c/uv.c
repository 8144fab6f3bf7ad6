// A server on libuv: PORT BACKEND DATABASE VARIANT. GET /w/ID makes a call on an idle connection, or a new one, and answers "ok".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define HEAD 4096
#define TARGET 256
#define TIMER 5

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// A connection, of either kind.
typedef struct Peer {
  uv_tcp_t stream;
  uv_connect_t connecting;
  uv_timer_t timer;
  char head[HEAD];
  size_t length;
  // The request that a call is made for, and on its side the call's path.
  struct Peer *request;
  char target[TARGET];
  struct Peer *next_idle;
} Peer;

static uv_loop_t *loop;
static struct sockaddr_in backend;
static Peer *idle;
static int timer_first;

static void die(const char *what, int status) {
  fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
  exit(1);
}

static void room(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
  (void)size;
  Peer *peer = handle->data;
  *buf = uv_buf_init(peer->head + peer->length, (unsigned)(HEAD - 1 - peer->length));
}

// Small writes to sockets with room are done at once.
static void say(Peer *peer, const char *text) {
  uv_buf_t buf = uv_buf_init((char *)text, (unsigned)strlen(text));
  int status = uv_try_write((uv_stream_t *)&peer->stream, &buf, 1);
  if (status != (int)buf.len) die("write", status);
}

static void closed(uv_handle_t *handle) { free(handle->data); }

static void answered(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf) {
  (void)buf;
  Peer *call = stream->data;
  if (size < 0) die("the backend", (int)size);
  call->length += (size_t)size;
  call->head[call->length] = 0;
  const char *body = strstr(call->head, "\r\n\r\n");
  if (!body || strlen(body) < strlen("\r\n\r\nok")) return;
  call->length = 0;
  call->next_idle = idle;
  idle = call;
  say(call->request, ANSWER);
}

static void send_call(Peer *call) {
  char text[TARGET + 64];
  snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: backend\r\n\r\n", call->request->target);
  say(call, text);
}

static void connected(uv_connect_t *connecting, int status) {
  Peer *call = connecting->data;
  if (status) die("connect", status);
  uv_read_start((uv_stream_t *)&call->stream, room, answered);
  send_call(call);
}

static void make_call(Peer *request) {
  Peer *call = idle;
  if (call) {
    idle = call->next_idle;
    call->request = request;
    send_call(call);
    return;
  }
  call = calloc(1, sizeof *call);
  if (!call) abort();
  call->request = request;
  uv_tcp_init(loop, &call->stream);
  uv_tcp_nodelay(&call->stream, 1);
  call->stream.data = call->connecting.data = call;
  int status = uv_tcp_connect(&call->connecting, &call->stream, (struct sockaddr *)&backend, connected);
  if (status) die("connect", status);
}

static void waited(uv_timer_t *timer) { make_call(timer->data); }

static void asked(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf) {
  (void)buf;
  Peer *request = stream->data;
  if (size < 0) {
    uv_close((uv_handle_t *)stream, closed);
    return;
  }
  request->length += (size_t)size;
  request->head[request->length] = 0;
  if (!strstr(request->head, "\r\n\r\n")) return;
  request->length = 0;
  char id[TARGET / 2] = "";
  sscanf(request->head, "GET /w/%127s", id);
  snprintf(request->target, TARGET, "/b/%s/1", id);
  if (timer_first) uv_timer_start(&request->timer, waited, TIMER, 0);
  else make_call(request);
}

static void accepted(uv_stream_t *listener, int status) {
  if (status) die("accept", status);
  Peer *request = calloc(1, sizeof *request);
  if (!request) abort();
  uv_tcp_init(loop, &request->stream);
  uv_timer_init(loop, &request->timer);
  request->stream.data = request->timer.data = request;
  uv_accept(listener, (uv_stream_t *)&request->stream);
  uv_tcp_nodelay(&request->stream, 1);
  uv_read_start((uv_stream_t *)&request->stream, room, asked);
}

int main(int count, char **args) {
  if (count < 5) return 2;
  loop = uv_default_loop();
  timer_first = !strcmp(args[4], "timer");
  uv_ip4_addr("127.0.0.1", atoi(args[2]), &backend);
  struct sockaddr_in here;
  uv_ip4_addr("127.0.0.1", atoi(args[1]), &here);
  uv_tcp_t listener;
  uv_tcp_init(loop, &listener);
  uv_tcp_bind(&listener, (struct sockaddr *)&here, 0);
  int status = uv_listen((uv_stream_t *)&listener, 256, accepted);
  if (status) die("listen", status);
  return uv_run(loop, UV_RUN_DEFAULT);
}
