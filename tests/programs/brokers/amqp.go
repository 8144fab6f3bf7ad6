package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// amqpConsumer takes orders from a queue and acknowledges them two at a time, but for those for nothing, which it rejects. It says on
// another queue what became of each.
func amqpConsumer(url string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.ExchangeDeclare("orders", "topic", false, false, false, false, nil); err != nil {
		return err
	}
	for _, queue := range []string{"billing", "handled"} {
		if _, err := ch.QueueDeclare(queue, false, false, false, false, nil); err != nil {
			return err
		}
	}
	if err := ch.QueueBind("billing", "order.*.created", "orders", false, nil); err != nil {
		return err
	}
	deliveries, err := ch.Consume("billing", "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	ready()
	for delivery := range deliveries {
		said := "billed"
		switch string(delivery.Body) {
		case "nothing":
			said = "refused"
			err = delivery.Reject(false)
		case "first of two":
		default:
			err = delivery.Ack(true)
		}
		if err != nil {
			return err
		}
		err = ch.PublishWithContext(context.Background(), "", "handled", false, false, amqp.Publishing{Body: []byte(said)})
		if err != nil {
			return err
		}
	}
	return nil
}

// amqpProducer places orders on a channel in confirm mode, one of them for nobody, gets what became of them from a queue until there is
// nothing more, and asks for a queue that is not there.
func amqpProducer(url string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	for number, order := range []string{"first of two", "tea", "nothing", "coffee", "nowhere"} {
		publishing := amqp.Publishing{MessageId: fmt.Sprintf("order-%d", number), Body: []byte(order)}
		if order == "coffee" {
			publishing.Headers = amqp.Table{"tries": int32(1), "traceparent": traceparent}
		}
		key := "order.4711.created"
		if order == "nowhere" {
			key = "order.lost"
		}
		confirmation, err := ch.PublishWithDeferredConfirm("orders", key, true, false, publishing)
		if err != nil {
			return err
		}
		if !confirmation.Wait() {
			return errors.New("not confirmed")
		}
	}
	<-returns
	for handled := 0; handled < 4; {
		_, found, err := ch.Get("handled", true)
		if err != nil {
			return err
		}
		if found {
			handled++
		} else {
			time.Sleep(50 * time.Millisecond)
		}
	}
	if _, found, err := ch.Get("handled", true); found || err != nil {
		return fmt.Errorf("something more: %v", err)
	}
	if _, err := ch.QueueDeclarePassive("missing", false, false, false, false, nil); err == nil {
		return errors.New("a queue that is not there")
	}
	return nil
}
