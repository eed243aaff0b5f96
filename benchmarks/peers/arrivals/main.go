// Requests at a constant rate, whatever the server does (an open loop), and how long each took from the moment at
// which it was due: a server that falls behind is charged with the wait that its phones would have.
//
// Usage: arrivals ADDRESS RATE SECONDS CONNECTIONS FOLDER
//
// FOLDER/requests holds complete requests with a NUL between them, FOLDER/order the numbers of those to send, in turn.
// One thread polls all connections without ever sleeping, so give it a core of its own. Prints JSON; times are
// microseconds. Every answer must have the status 302.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const graceAfterLast = 2 * time.Second

type connection struct {
	fd      int
	dueAt   time.Duration
	waiting bool
	answer  []byte
}

type load struct {
	begin    time.Time
	epoll    int
	byFd     map[int]*connection
	idle     []*connection
	requests [][]byte
	order    []int
	sent     int
	taken    []time.Duration
	failed   int
}

type report struct {
	Rate     float64 `json:"rate"`
	Due      int     `json:"due"`
	Answered int     `json:"answered"`
	Failed   int     `json:"failed"`
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
	P999     float64 `json:"p999_us"`
	Max      float64 `json:"max_us"`
}

func main() {
	runtime.LockOSThread()
	rate, seconds := number(os.Args[2]), number(os.Args[3])
	run := open(os.Args[1], int(number(os.Args[4])), os.Args[5])
	due := int(rate * seconds)
	run.taken = make([]time.Duration, 0, due)
	run.drive(due, time.Duration(float64(time.Second)/rate))
	sort.Slice(run.taken, func(a, b int) bool { return run.taken[a] < run.taken[b] })
	check(json.NewEncoder(os.Stdout).Encode(report{
		Rate: rate, Due: due, Answered: len(run.taken), Failed: run.failed,
		P50: run.quantile(0.5), P99: run.quantile(0.99), P999: run.quantile(0.999), Max: run.quantile(1),
	}))
}

func open(address string, connections int, folder string) *load {
	epoll, err := syscall.EpollCreate1(0)
	check(err)
	run := &load{epoll: epoll, byFd: map[int]*connection{}}
	requests, err := os.ReadFile(filepath.Join(folder, "requests"))
	check(err)
	run.requests = bytes.Split(requests, []byte{0})
	order, err := os.ReadFile(filepath.Join(folder, "order"))
	check(err)
	for _, text := range strings.Fields(string(order)) {
		run.order = append(run.order, int(number(text))-1)
	}
	for range make([]struct{}, connections) {
		run.connect(address)
	}
	return run
}

func (run *load) connect(address string) {
	to, err := net.ResolveTCPAddr("tcp4", address)
	check(err)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	check(err)
	target := &syscall.SockaddrInet4{Port: to.Port}
	copy(target.Addr[:], to.IP.To4())
	check(syscall.Connect(fd, target))
	check(syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1))
	check(syscall.SetNonblock(fd, true))
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
	check(syscall.EpollCtl(run.epoll, syscall.EPOLL_CTL_ADD, fd, &event))
	one := &connection{fd: fd}
	run.byFd[fd] = one
	run.idle = append(run.idle, one)
}

// drive sends request n at n times the interval, or as soon after as a connection is free.
func (run *load) drive(due int, interval time.Duration) {
	run.begin = time.Now()
	events := make([]syscall.EpollEvent, 256)
	buffer := make([]byte, 1<<16)
	last := time.Duration(due) * interval
	for len(run.taken)+run.failed < due && time.Since(run.begin) < last+graceAfterLast {
		now := time.Since(run.begin)
		for run.sent < due && len(run.idle) > 0 && time.Duration(run.sent)*interval <= now {
			run.send(time.Duration(run.sent) * interval)
		}
		count, err := syscall.EpollWait(run.epoll, events, 0)
		if err != nil && err != syscall.EINTR {
			log.Fatal(err)
		}
		for _, event := range events[:max(count, 0)] {
			run.receive(run.byFd[int(event.Fd)], buffer)
		}
	}
}

func (run *load) send(dueAt time.Duration) {
	one := run.idle[0]
	run.idle = run.idle[1:]
	request := run.requests[run.order[run.sent%len(run.order)]]
	run.sent++
	one.dueAt, one.waiting, one.answer = dueAt, true, one.answer[:0]
	written, err := syscall.Write(one.fd, request)
	if err != nil || written < len(request) {
		run.drop(one)
	}
}

func (run *load) receive(one *connection, buffer []byte) {
	count, err := syscall.Read(one.fd, buffer)
	if err == syscall.EAGAIN {
		return
	}
	if err != nil || count <= 0 {
		run.drop(one)
		return
	}
	one.answer = append(one.answer, buffer[:count]...)
	if !one.waiting || !isComplete(one.answer) {
		return
	}
	if bytes.HasPrefix(one.answer, []byte("HTTP/1.1 302 ")) {
		run.taken = append(run.taken, time.Since(run.begin)-one.dueAt)
	} else {
		run.failed++
	}
	one.waiting = false
	run.idle = append(run.idle, one)
}

// drop gives up a connection that broke; what waited on it has failed.
func (run *load) drop(one *connection) {
	if one.waiting {
		run.failed++
	}
	syscall.Close(one.fd)
	delete(run.byFd, one.fd)
}

func (run *load) quantile(share float64) float64 {
	if len(run.taken) == 0 {
		return -1
	}
	at := int(share*float64(len(run.taken))+0.999999) - 1
	return float64(run.taken[max(at, 0)].Nanoseconds()) / 1000
}

func isComplete(answer []byte) bool {
	end := bytes.Index(answer, []byte("\r\n\r\n"))
	if end < 0 {
		return false
	}
	head := bytes.ToLower(answer[:end])
	at := bytes.Index(head, []byte("\r\ncontent-length:"))
	if at < 0 {
		return true
	}
	line, _, _ := strings.Cut(string(head[at+17:]), "\r\n")
	return len(answer) >= end+4+int(number(strings.TrimSpace(line)))
}

func number(text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		log.Fatal(fmt.Errorf("%q is no number", text))
	}
	return value
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
