// A redirect by fasthttp: a map look-up of the path, the answer, and the scan appended to a slice in memory.
//
// Usage: fasthttp ADDRESS PATH TARGET
package main

import (
	"encoding/binary"
	"log"
	"os"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// When the slice is full it is begun anew, as a segment would be handed on.
const segmentBytes = 16 << 20

var (
	routes = map[string][]byte{}
	mutex  sync.Mutex
	scans  = make([]byte, 0, segmentBytes)
)

func record(head []byte) {
	mutex.Lock()
	if len(scans)+len(head)+12 > cap(scans) {
		scans = scans[:0]
	}
	var event [12]byte
	binary.LittleEndian.PutUint64(event[:8], uint64(time.Now().UnixNano()))
	binary.LittleEndian.PutUint32(event[8:], uint32(len(head)))
	scans = append(scans, event[:]...)
	scans = append(scans, head...)
	mutex.Unlock()
}

func answer(ctx *fasthttp.RequestCtx) {
	target, found := routes[string(ctx.Path())]
	if !found {
		ctx.SetStatusCode(fasthttp.StatusNotFound)
		return
	}
	record(ctx.Request.Header.RawHeaders())
	headers := &ctx.Response.Header
	headers.SetStatusCode(fasthttp.StatusFound)
	headers.SetBytesV("Location", target)
	headers.Set("Cache-Control", "private, no-store")
	headers.Set("X-Robots-Tag", "noindex")
}

func main() {
	routes[os.Args[2]] = []byte(os.Args[3])
	server := &fasthttp.Server{
		Handler:               answer,
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
	}
	log.Fatal(server.ListenAndServe(os.Args[1]))
}
