// Programs at both ends of a broker, with the brokers' own clients and no telemetry.
package main

import (
	"fmt"
	"log"
	"os"
)

// traceparent is a context that a producer's own telemetry would have put into a message.
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: brokers nats-service|nats-client|amqp-consumer|amqp-producer URL")
	}
	roles := map[string]func(string) error{
		"nats-service":  natsService,
		"nats-client":   natsClient,
		"amqp-consumer": amqpConsumer,
		"amqp-producer": amqpProducer,
	}
	role, known := roles[os.Args[1]]
	if !known {
		log.Fatal("no such role")
	}
	if err := role(os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func ready() {
	fmt.Println("ready")
}
