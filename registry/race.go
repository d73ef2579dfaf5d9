package registry

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// headStart is how long an address is tried alone before the next one is tried
// beside it. Source: RFC 8305, section 5.
const headStart = 250 * time.Millisecond

// maxAddresses bounds how many addresses of a name are tried: a dozen is much, and
// all have to be tried within the time for a connection.
const maxAddresses = 10

// race connects to the first address of a name that answers. net.Dialer races one
// address of each family only, and gives the others two seconds each, which is all
// the time that a lookup has: a name with one dead address among several would fail.
func race(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return d.DialContext(ctx, network, addr)
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel() // those that lost give up
	resolver := d.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	addresses, err := resolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addresses) == 0 {
		err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	if err != nil {
		return nil, err
	}
	var targets []string
	for _, a := range alternating(addresses) {
		targets = append(targets, net.JoinHostPort(a.String(), port))
	}
	return raceTo(ctx, d, network, targets)
}

// alternating orders addresses so that no two of a family follow each other while
// there are others, up to maxAddresses. The first stays the first.
func alternating(addresses []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr // that of the first address, the other
	for i := range addresses {
		a := addresses[i].Unmap()
		other := 0
		if a.Is4() != addresses[0].Unmap().Is4() {
			other = 1
		}
		families[other] = append(families[other], a)
	}
	var order []netip.Addr
	for i := range max(len(families[0]), len(families[1])) {
		for _, family := range families {
			if i < len(family) {
				order = append(order, family[i])
			}
		}
	}
	return order[:min(len(order), maxAddresses)]
}

// attempt is what became of one address.
type attempt struct {
	conn net.Conn
	err  error
}

// raceTo tries the targets, each when the one before has failed or had its head
// start. The error is that of the first that failed.
func raceTo(ctx context.Context, d *net.Dialer, network string, targets []string) (net.Conn, error) {
	results := make(chan attempt, len(targets))
	running := 0
	begin := func() {
		target := targets[0]
		targets = targets[1:]
		running++
		go func() {
			conn, err := d.DialContext(ctx, network, target)
			results <- attempt{conn, err}
		}()
	}
	var first error
	for begin(); running > 0; {
		var next <-chan time.Time
		if len(targets) > 0 {
			next = time.After(headStart)
		}
		select {
		case <-next:
			begin()
		case r := <-results:
			running--
			if r.err == nil {
				go closeLosers(results, running)
				return r.conn, nil
			}
			if first == nil {
				first = r.err
			}
			if len(targets) > 0 {
				begin()
			}
		}
	}
	return nil, first
}

// closeLosers closes the connections that came too late.
func closeLosers(results <-chan attempt, running int) {
	for range running {
		if r := <-results; r.err == nil {
			r.conn.Close()
		}
	}
}
