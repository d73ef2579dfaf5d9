package site

import (
	"sync"
	"time"
)

// maxCosts bounds how many members are remembered with what fetching them cost;
// the oldest are forgotten.
const maxCosts = 4096

// Cost is what it took to fetch something, most recently.
type Cost struct {
	When  time.Time     `json:"when"`
	Took  time.Duration `json:"took"`  // waiting for a place among the requests included, nanoseconds
	Bytes int64         `json:"bytes"` // of the request, which may have brought others too
	Error string        `json:"error,omitempty"`
}

// costOf is what a fetch cost that has just ended.
func costOf(began time.Time, err error) Cost {
	c := Cost{When: began, Took: time.Since(began)}
	if err != nil {
		c.Error = err.Error()
	}
	return c
}

// costs remembers what the latest fetches cost, for people who ask why.
type costs struct {
	mu    sync.Mutex // guards all below
	of    map[place]Cost
	order []place // a ring
	next  int
}

// note keeps the cost of the members from..to-1 of a site, which one request
// brought.
func (c *costs) note(s *Site, from, to uint32, cost Cost) {
	for i := from; i < to; i++ {
		cost.Bytes += s.Tree.Member(i).Size
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[place]Cost{}
	}
	for i := from; i < to; i++ {
		c.keep(s.place(i), cost)
	}
}

func (c *costs) keep(p place, cost Cost) {
	if _, known := c.of[p]; !known {
		if len(c.order) < maxCosts {
			c.order = append(c.order, p)
		} else {
			delete(c.of, c.order[c.next])
			c.order[c.next] = p
			c.next = (c.next + 1) % maxCosts
		}
	}
	c.of[p] = cost
}

// get is the latest cost of a member, if it is remembered.
func (c *costs) get(p place) (Cost, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cost, ok := c.of[p]
	return cost, ok
}
