// gRPC-Web over HTTP/1.1: improbable-eng's wrapper of grpc-go answers; nobody makes a client of gRPC-Web for Go, so that one is made here.
//
//	web serve PORT  methods that succeed, stream, refuse and do not exist
//	web ask PORT    calls them, in binary and in base64
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/improbable-eng/grpc-web/go/grpcweb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func unary(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	return wrapperspb.String("hello"), decode(new(wrapperspb.StringValue))
}

func refused(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
	return nil, status.Error(codes.NotFound, "no")
}

func down(_ any, stream grpc.ServerStream) error {
	for range 3 {
		if err := stream.SendMsg(wrapperspb.String("hello")); err != nil {
			return err
		}
	}
	return nil
}

func serve(port string) error {
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "wirespan.Web",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}, {MethodName: "Refused", Handler: refused}},
		Streams:     []grpc.StreamDesc{{StreamName: "Down", Handler: down, ServerStreams: true}},
	}, struct{}{})
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	return http.Serve(listener, grpcweb.WrapServer(server))
}

func ask(port, method, kind string) error {
	body := []byte{0, 0, 0, 0, 0}
	if kind == "application/grpc-web-text" {
		body = []byte(base64.StdEncoding.EncodeToString(body))
	}
	request, err := http.NewRequest("POST", "http://127.0.0.1:"+port+"/wirespan.Web/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", kind)
	request.Header.Set("X-Grpc-Web", "1")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	fmt.Println(method, kind, answer.StatusCode, len(content))
	return err
}

func main() {
	var err error
	if os.Args[1] == "serve" {
		err = serve(os.Args[2])
	}
	for _, kind := range []string{"application/grpc-web+proto", "application/grpc-web-text"} {
		for _, method := range []string{"Unary", "Down", "Refused", "Unheard"} {
			if os.Args[1] == "ask" && err == nil {
				err = ask(os.Args[2], method, kind)
			}
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}
