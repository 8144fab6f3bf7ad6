package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// natsService answers requests for prices, and takes orders from a stream: those for nothing are given back, others acknowledged. It says
// on a subject what became of each.
func natsService(url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	js, err := nc.JetStream()
	if err != nil {
		return err
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}}); err != nil {
		return err
	}
	_, err = nc.QueueSubscribe("prices.get", "pricing", func(m *nats.Msg) { _ = m.Respond([]byte("17")) })
	if err != nil {
		return err
	}
	orders, err := js.PullSubscribe("orders.>", "billing")
	if err != nil {
		return err
	}
	ready()
	for {
		messages, err := orders.Fetch(1, nats.MaxWait(time.Second))
		if errors.Is(err, nats.ErrTimeout) {
			continue
		}
		if err != nil {
			return err
		}
		for _, message := range messages {
			said := "billed"
			if string(message.Data) == "nothing" {
				said = "refused"
				err = message.Term()
			} else {
				err = message.Ack()
			}
			if err != nil {
				return err
			}
			if err := nc.Publish("handled", []byte(said)); err != nil {
				return err
			}
		}
	}
}

// natsClient asks for a price, asks somebody who is not there, asks for a stream that is not there, and places three orders.
func natsClient(url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	handled, err := nc.SubscribeSync("handled")
	if err != nil {
		return err
	}
	if _, err := nc.Request("prices.get", []byte("tea"), 5*time.Second); err != nil {
		return err
	}
	if _, err := nc.Request("nobody.home", nil, 5*time.Second); !errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("nobody answered with %v", err)
	}
	js, err := nc.JetStream()
	if err != nil {
		return err
	}
	if _, err := js.StreamInfo("NONE"); !errors.Is(err, nats.ErrStreamNotFound) {
		return fmt.Errorf("no stream answered with %v", err)
	}
	for _, order := range []string{"tea", "nothing", "coffee"} {
		message := nats.NewMsg("orders.4711.created")
		message.Data = []byte(order)
		if order == "coffee" {
			message.Header.Set("traceparent", traceparent)
		}
		if _, err := js.PublishMsg(message); err != nil {
			return err
		}
		if _, err := handled.NextMsg(10 * time.Second); err != nil {
			return err
		}
	}
	return nil
}
