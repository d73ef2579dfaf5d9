package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// zone is what a name server says of every name.
type zone struct {
	mu        sync.Mutex
	addresses []netip.Addr
}

func (z *zone) set(addresses ...netip.Addr) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.addresses = addresses
}

func (z *zone) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		z.mu.Lock()
		defer z.mu.Unlock()
		ours, theirs := net.Pipe()
		go answerDNS(theirs, z.addresses)
		return ours, nil
	}}
}

// answerDNS answers questions for addresses, over a stream.
func answerDNS(conn net.Conn, addresses []netip.Addr) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		packet := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := io.ReadFull(conn, packet); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(packet) != nil || len(m.Questions) != 1 {
			return
		}
		m.Response, m.RecursionAvailable = true, true
		m.Additionals, m.Answers = nil, resources(m.Questions[0], addresses)
		packet, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := conn.Write(append([]byte{byte(len(packet) >> 8), byte(len(packet))}, packet...)); err != nil {
			return
		}
	}
}

func resources(q dnsmessage.Question, addresses []netip.Addr) (found []dnsmessage.Resource) {
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
	for _, a := range addresses {
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			found = append(found, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			found = append(found, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return found
}

// answerBudget is how long a lookup in a mount waits.
const answerBudget = 2 * time.Second

// client speaks with the registry of a name whose addresses the zone says.
func (z *zone) client(t *testing.T, port uint16) *Client {
	t.Helper()
	host := fmt.Sprintf("registry.example.org.:%d", port)
	d := newDialer(defaultLimits.dial)
	d.trust(host, "http")
	d.any.Resolver = z.resolver()
	transport := &http.Transport{DialContext: d.dial}
	t.Cleanup(transport.CloseIdleConnections)
	c := newClient(t, "localhost", WithTransport(transport))
	c.scheme, c.name = "http", host // with its dot, so that no search list is tried
	c.limits.answer = answerBudget
	return c
}

// serveTags lists one tag at an address.
func serveTags(t *testing.T, l net.Listener, tag string) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"name": "app", "tags": [%q]}`, tag)
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// twoListeners listen at the same port of two addresses of this machine; without
// IPv6 one at it is nil.
func twoListeners(t *testing.T, second string) (one, other net.Listener) {
	t.Helper()
	var err error
	for range 20 { // somebody may have the port there
		if one, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		port := one.Addr().(*net.TCPAddr).Port
		if other, err = net.Listen("tcp", net.JoinHostPort(second, fmt.Sprint(port))); err == nil {
			return one, other
		}
		one.Close()
	}
	return nil, nil
}

// blackHole has a listener swallow all that comes: its queue is full, and nobody
// takes anything out of it.
func blackHole(t *testing.T, l net.Listener) {
	t.Helper()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err == nil {
		var again error
		err = errors.Join(raw.Control(func(fd uintptr) { again = unix.Listen(int(fd), 0) }), again)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for range 10 {
		conn, err := net.DialTimeout("tcp", l.Addr().String(), 200*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatalf("%s still answers", l.Addr())
}

// From one of the addresses of a name nothing comes back, and it is the first to be
// tried. There still is time for the next, of whatever kind it is.
func TestABlackHoleBesideARegistryIsPassedBy(t *testing.T) {
	for name, hole := range map[string]string{"of IPv6": "::1", "of the same kind": "127.0.0.2"} {
		t.Run(name, func(t *testing.T) {
			one, other := twoListeners(t, hole)
			if other == nil {
				t.Logf("this machine has no address %s", hole)
				return
			}
			serveTags(t, one, "v1")
			blackHole(t, other)
			var z zone
			z.set(netip.MustParseAddr(hole), netip.MustParseAddr("127.0.0.1"))
			c := z.client(t, one.Addr().(*net.TCPAddr).AddrPort().Port())
			if got, err := c.Tags(testContext(t), "app"); err != nil || !slices.Equal(got, []string{"v1"}) {
				t.Errorf("got %q, %v, want v1", got, err)
			}
		})
	}
}

// The name of a registry means another machine now, or none.
func TestARegistryIsFoundWhereItsNameLeads(t *testing.T) {
	one, other := twoListeners(t, "127.0.0.2")
	first := serveTags(t, one, "v1")
	serveTags(t, other, "v2")
	var z zone
	z.set(netip.MustParseAddr("127.0.0.1"))
	c := z.client(t, one.Addr().(*net.TCPAddr).AddrPort().Port())
	want := func(tag string) {
		t.Helper()
		if got, err := c.Tags(testContext(t), "app"); err != nil || !slices.Equal(got, []string{tag}) {
			t.Errorf("got %q, %v, want %s", got, err, tag)
		}
	}
	want("v1")
	z.set(netip.MustParseAddr("127.0.0.2"))
	first.Close()
	want("v2")
	z.set()
	want("v2") // by the connection that there is
	c.CloseIdle()
	if _, err := c.Tags(testContext(t), "app"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without an address: got %v, want ErrUnavailable: it says nothing of the repository", err)
	}
}

func TestAddressesAreTriedInTurns(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"::1 ::2 1.1.1.1 2.2.2.2 ::3":  "::1 1.1.1.1 ::2 2.2.2.2 ::3",
		"1.1.1.1 ::ffff:2.2.2.2 ::1":   "1.1.1.1 ::1 2.2.2.2",
		strings.Repeat("1.1.1.1 ", 20): strings.TrimSpace(strings.Repeat("1.1.1.1 ", maxAddresses)),
	} {
		var addresses []netip.Addr
		for _, a := range strings.Fields(in) {
			addresses = append(addresses, netip.MustParseAddr(a))
		}
		if got := strings.Trim(fmt.Sprint(alternating(addresses)), "[]"); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
