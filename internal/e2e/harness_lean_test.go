package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// lean is a client that takes little of the machine's time for itself, where it is
// the servers' that is measured: one connection, which it keeps as browsers do, and
// one request after the other.
type lean struct {
	t    testing.TB
	host string
	conn net.Conn // nil until it is needed
	in   *bufio.Reader
}

// newLean is a client of the server at url.
func newLean(t testing.TB, url string) *lean {
	return &lean{t: t, host: strings.TrimPrefix(url, "http://")}
}

func (l *lean) close() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// get gives the status and body of a path, and 0 after a failure, which fails the
// test.
func (l *lean) get(path string) (status int, body []byte) {
	status, body, err := l.try(path)
	if err != nil {
		l.t.Errorf("%s: %v", path, err)
		l.close()
		return 0, nil
	}
	return status, body
}

func (l *lean) try(path string) (status int, body []byte, err error) {
	if l.conn == nil {
		if l.conn, err = net.DialTimeout("tcp", l.host, startLimit); err != nil {
			return 0, nil, err
		}
		l.in = bufio.NewReader(l.conn)
	}
	if _, err := fmt.Fprintf(l.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, l.host); err != nil {
		return 0, nil, err
	}
	resp, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); resp.Close {
		l.close()
	}
	return resp.StatusCode, body, err
}
