package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
)

// longest is the longest delay of an answer.
const longest = 5 * time.Millisecond

// delay makes the same call take the same time in every run.
func delay(target string) {
	hash := fnv.New64a()
	io.WriteString(hash, target)
	time.Sleep(time.Duration(hash.Sum64()>>11) % (longest + 1))
}

// serveBackend answers every HTTP/2 request, gRPC or not, after 0 to 5 ms, and says on standard output what it was asked.
func serveBackend(port string) error {
	rpc := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		fmt.Println(method)
		delay(method)
		if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
			return err
		}
		return stream.SendMsg(&emptypb.Empty{})
	}))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			rpc.ServeHTTP(w, r)
			return
		}
		fmt.Println(r.URL.Path)
		delay(r.URL.Path)
		io.WriteString(w, "ok")
	})
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	limits := &http.HTTP2Config{MaxConcurrentStreams: 1000}
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: handler, Protocols: &protocols, HTTP2: limits}
	return server.ListenAndServe()
}

// http2Client speaks HTTP/2 without TLS, from the first byte on.
func http2Client() *http.Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: &protocols}}
}

func grpcConn(address string) *grpc.ClientConn {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	return conn
}

// grpcCall calls a method whose name is the call.
func grpcCall(ctx context.Context, conn *grpc.ClientConn, id string, number int) error {
	return conn.Invoke(ctx, fmt.Sprintf("/b.%s/%d", id, number), &emptypb.Empty{}, &emptypb.Empty{})
}
