// The Centrifuge library, whose own server is Centrifugo: centrifuge PORT LENGTH.
// Screens are subscribed by the server when they connect, so that a publication is all that goes over the line.
package main

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	length, err := strconv.Atoi(os.Args[2])
	must(err)
	event := []byte(`"` + strings.Repeat("x", length-3) + `^"`)
	node, err := centrifuge.New(centrifuge.DefaultConfig)
	must(err)
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{UserID: "screen"},
			Subscriptions: map[string]centrifuge.SubscribeOptions{"hall": {}},
		}, nil
	})
	must(node.Run())
	// Our screens take in what comes and say nothing, not even that they are there.
	screens := centrifuge.WebsocketConfig{PingInterval: time.Hour}
	http.Handle("/", centrifuge.NewWebsocketHandler(node, screens))
	go func() { must(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil)) }()
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		times, err := strconv.Atoi(orders.Text())
		must(err)
		for ; times > 0; times-- {
			_, err := node.Publish("hall", event)
			must(err)
		}
	}
}
