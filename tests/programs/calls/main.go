// gRPC and HTTP/2 without TLS, as Go's own libraries speak them.
//
//	calls serve PORT       a gRPC server with a method of each kind, and of each way to end
//	calls call PORT        calls each of them once, in order, on one connection
//	calls forward PORT TO  a gRPC server that asks the one at TO in each call
//	calls web PORT         an HTTP/2 server that answers what the path says: /200, /404
//	calls get PORT COUNT   asks it so often at once, on one connection
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Text is every request and every response.
type Text = wrapperspb.StringValue

func text(value string) *Text { return wrapperspb.String(value) }

// handle makes a method that takes one message and gives one.
func handle(name string, answer func(context.Context) (*Text, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		if err := decode(new(Text)); err != nil {
			return nil, err
		}
		return answer(ctx)
	}}
}

// stream makes a method that takes every message and then gives some, or gives one for each.
func stream(name string, client, server, each bool, count int) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, ClientStreams: client, ServerStreams: server, Handler: func(_ any, stream grpc.ServerStream) error {
		for {
			if err := stream.RecvMsg(new(Text)); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			if each {
				if err := stream.SendMsg(text("echo")); err != nil {
					return err
				}
			}
		}
		for i := range count {
			if err := stream.SendMsg(text(strconv.Itoa(i))); err != nil {
				return err
			}
		}
		return nil
	}}
}

func wait(ctx context.Context) (*Text, error) {
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

func serve(port string, unary func(context.Context) (*Text, error)) error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "wirespan.Test",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			handle("Unary", unary),
			handle("Refused", func(context.Context) (*Text, error) { return nil, status.Error(codes.InvalidArgument, "no") }),
			handle("Broken", func(context.Context) (*Text, error) { return nil, status.Error(codes.Internal, "oops") }),
			handle("Slow", wait),
		},
		Streams: []grpc.StreamDesc{
			stream("Down", false, true, false, 3),
			stream("Up", true, false, false, 1),
			stream("Both", true, true, true, 0),
		},
	}, struct{}{})
	return server.Serve(listener)
}

func connect(port string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///127.0.0.1:"+port, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func unary(ctx context.Context, conn *grpc.ClientConn, method string) error {
	return conn.Invoke(ctx, "/wirespan.Test/"+method, text("please"), new(Text))
}

// converse sends so many messages and takes everything that comes back.
func converse(ctx context.Context, conn *grpc.ClientConn, method string, count int) error {
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := conn.NewStream(ctx, desc, "/wirespan.Test/"+method)
	if err != nil {
		return err
	}
	for range count {
		if err := stream.SendMsg(text("please")); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		if err := stream.RecvMsg(new(Text)); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func call(port string) error {
	conn, err := connect(port)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx := context.Background()
	say := func(method string, err error) { fmt.Println(method, status.Code(err)) }
	say("Unary", unary(ctx, conn, "Unary"))
	say("Down", converse(ctx, conn, "Down", 1))
	say("Up", converse(ctx, conn, "Up", 4))
	say("Both", converse(ctx, conn, "Both", 2))
	say("Refused", unary(ctx, conn, "Refused"))
	say("Broken", unary(ctx, conn, "Broken"))
	say("Missing", unary(ctx, conn, "Missing"))
	late, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	say("Slow", unary(late, conn, "Slow"))
	cancel()
	given, cancel := context.WithCancel(ctx)
	time.AfterFunc(200*time.Millisecond, cancel)
	say("Slow", unary(given, conn, "Slow"))
	return nil
}

func protocols() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return protocols
}

func web(port string) error {
	answer := func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(strings.Split(r.URL.Path, "/")[1])
		w.WriteHeader(code)
		fmt.Fprintln(w, "hello")
	}
	server := http.Server{Addr: "127.0.0.1:" + port, Handler: http.HandlerFunc(answer), Protocols: protocols()}
	return server.ListenAndServe()
}

func get(port, count string) error {
	client := http.Client{Transport: &http.Transport{Protocols: protocols()}}
	total, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	for i := range total {
		group.Go(func() {
			code := 200
			if i%3 == 2 {
				code = 404
			}
			response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%s/%d/%d", port, code, i))
			if err != nil {
				log.Fatal(err)
			}
			defer response.Body.Close()
			io.Copy(io.Discard, response.Body)
			if response.StatusCode != code || response.ProtoMajor != 2 {
				log.Fatal(response.Proto, response.Status)
			}
		})
	}
	group.Wait()
	return nil
}

func run(args []string) error {
	switch args[0] {
	case "serve":
		return serve(args[1], func(context.Context) (*Text, error) { return text("here"), nil })
	case "forward":
		conn, err := connect(args[2])
		if err != nil {
			return err
		}
		return serve(args[1], func(ctx context.Context) (*Text, error) { return text("forwarded"), unary(ctx, conn, "Unary") })
	case "call":
		return call(args[1])
	case "web":
		return web(args[1])
	case "get":
		return get(args[1], args[2])
	}
	return fmt.Errorf("unknown command %q", args[0])
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}
