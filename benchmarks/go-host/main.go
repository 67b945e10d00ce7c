// Command go-host runs a plugin in Extism's Go SDK, on wazero, and measures it: a peer of the benchmarks.
//
// usage: go-host generic|legacy plain|reclaiming PLUGIN KEY MESSAGES
//
// KEY is a file with the input of start_stream or prepare_stream, MESSAGES one with a message a line. The result, on
// stdout, is JSON: {"rate", "cpu", "sent", "delivered"}: messages a second and microseconds of processor time a message,
// after the first fifth of them.
//
// A plain host answers and does nothing else. A reclaiming one frees each request when it is read, and each reply when
// eight others have followed it, and pads replies to powers of two, so that Extism's allocator finds a block at once.
// That is not safe for every plugin; it is for those of the benchmarks. Extism itself frees everything between calls, so
// for a legacy plugin there is nothing to reclaim.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"strings"
	"syscall"
	"time"

	extism "github.com/extism/go-sdk"
)

const kept = 8 // replies that a reclaiming host does not free yet

type host struct {
	reclaiming bool
	messages   [][]byte // as the plugin is given them
	next       int
	delivered  int
	replies    []uint64
	warm       time.Time
	warmCPU    time.Duration
}

type result struct {
	Rate      float64 `json:"rate"`
	CPU       float64 `json:"cpu"`
	Sent      int     `json:"sent"`
	Delivered int     `json:"delivered"`
}

func main() {
	if len(os.Args) != 6 {
		fail(errors.New("usage: go-host generic|legacy plain|reclaiming PLUGIN KEY MESSAGES"))
	}
	measured, err := run(os.Args[1], os.Args[2] == "reclaiming", os.Args[3], os.Args[4], os.Args[5])
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(measured); err != nil {
		fail(err)
	}
}

func run(kind string, reclaiming bool, plugin, keyFile, messages string) (result, error) {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return result{}, err
	}
	text, err := os.ReadFile(messages)
	if err != nil {
		return result{}, err
	}
	h := &host{reclaiming: reclaiming}
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		prepared, err := prepare(kind, string(line))
		if err != nil {
			return result{}, err
		}
		h.messages = append(h.messages, prepared)
	}
	ctx := context.Background()
	manifest := extism.Manifest{Wasm: []extism.Wasm{extism.WasmFile{Path: plugin}}}
	instance, err := extism.NewPlugin(ctx, manifest, extism.PluginConfig{EnableWasi: true}, h.functions())
	if err != nil {
		return result{}, err
	}
	defer instance.Close(ctx)
	if kind == "legacy" {
		err = h.push(instance, key)
	} else {
		_, _, err = instance.Call("start_stream", key) // ends with the feed, which is a failure to the plugin
		if h.next >= len(h.messages) {
			err = nil
		}
	}
	if err != nil {
		return result{}, err
	}
	// The first message of a generic feed acknowledges the subscription, and is no candle.
	sent := len(h.messages)
	if kind == "generic" {
		sent--
	}
	counted := float64(h.delivered - h.warmth())
	took := time.Since(h.warm).Seconds()
	return result{counted / took, float64((spent()-h.warmCPU).Microseconds()) / counted, sent, h.delivered}, nil
}

// prepare makes of a message what the plugin is given.
func prepare(kind, message string) ([]byte, error) {
	if kind == "legacy" {
		return json.Marshal(map[string]string{
			"streamId": "s1", "connectionId": "c1", "message": message, "messageType": "data",
		})
	}
	return json.Marshal(map[string]any{"success": true, "message": message})
}

func (h *host) push(instance *extism.Plugin, setup []byte) error {
	if code, _, err := instance.Call("prepare_stream", setup); err != nil || code != 0 {
		return fmt.Errorf("prepare_stream: code %d: %w", code, err)
	}
	for _, message := range h.messages {
		h.next++
		_, answer, err := instance.Call("handle_stream_message", message)
		if err != nil {
			return err
		}
		if bytes.Contains(answer, []byte(`"data"`)) {
			h.deliver()
		}
	}
	return nil
}

func (h *host) functions() []extism.HostFunction {
	answers := map[string]func(request []byte) []byte{
		"ws_connect":          func([]byte) []byte { return []byte(`{"success":true,"connectionId":"c1"}`) },
		"ws_receive":          h.receive,
		"publish_stream_data": h.publish,
	}
	var made []extism.HostFunction
	names := "ws_connect ws_send ws_receive ws_close publish_stream_data http_request log_record"
	for _, name := range strings.Fields(names) {
		answer, known := answers[name]
		if !known {
			answer = func([]byte) []byte { return []byte(`{"success":true}`) }
		}
		function := extism.NewHostFunctionWithStack(name,
			func(_ context.Context, plugin *extism.CurrentPlugin, stack []uint64) {
				stack[0] = h.reply(plugin, stack[0], answer)
			},
			[]extism.ValueType{extism.ValueTypeI64}, []extism.ValueType{extism.ValueTypeI64})
		function.SetNamespace("env")
		made = append(made, function)
	}
	return made
}

func (h *host) reply(plugin *extism.CurrentPlugin, at uint64, answer func([]byte) []byte) uint64 {
	request, err := plugin.ReadBytes(at)
	if err != nil {
		fail(err)
	}
	text := answer(request)
	if h.reclaiming {
		size := 1 << bits.Len(uint(max(len(text)-1, 31)))
		text = append(text[:len(text):len(text)], bytes.Repeat([]byte(" "), size-len(text))...)
	}
	block, err := plugin.WriteBytes(text)
	if err != nil {
		fail(err)
	}
	if h.reclaiming {
		h.free(plugin, at)
		h.replies = append(h.replies, block)
		if len(h.replies) > kept {
			h.free(plugin, h.replies[0])
			h.replies = h.replies[1:]
		}
	}
	return block
}

func (h *host) free(plugin *extism.CurrentPlugin, block uint64) {
	if err := plugin.Free(block); err != nil {
		fail(err)
	}
}

func (h *host) receive([]byte) []byte {
	h.next++
	if h.next > len(h.messages) {
		return []byte(`{"success":false,"error":"the end"}`)
	}
	return h.messages[h.next-1]
}

func (h *host) publish([]byte) []byte {
	h.deliver()
	return []byte(`{"success":true}`)
}

func (h *host) deliver() {
	h.delivered++
	if h.delivered == h.warmth() {
		h.warm, h.warmCPU = time.Now(), spent()
	}
}

// warmth is how many messages are not counted.
func (h *host) warmth() int { return len(h.messages) / 5 }

func spent() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "go-host:", err)
	os.Exit(1)
}
