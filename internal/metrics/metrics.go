// Package metrics counts what a daemon does and gives it to Prometheus. The
// names follow its conventions: a unit in the name, totals end in _total.
//
// It knows what is counted and what it is called. It knows nothing of HTTP
// addresses, and nothing of how the parts that it asks work.
package metrics

import (
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"

	"github.com/regfs/regfs/internal/namespace"
	"github.com/regfs/regfs/registry"
)

// kernelBuckets are for requests of the kernel, in seconds: from what is
// answered out of memory up to the longest that one may wait.
var kernelBuckets = []float64{20e-6, 100e-6, 500e-6, 2e-3, 10e-3, 50e-3, .25, 1, 5, 15}

// wireBuckets are for requests to a registry, in seconds.
var wireBuckets = []float64{5e-3, 20e-3, 50e-3, .1, .25, .5, 1, 2.5, 5, 15}

// Metrics are the counts of one daemon.
type Metrics struct {
	registry *prometheus.Registry

	kernel   *prometheus.HistogramVec
	failures *prometheus.CounterVec
	wire     *prometheus.HistogramVec
	answers  *prometheus.CounterVec
	received prometheus.Counter
}

var _ registry.Observer = (*Metrics)(nil)

// New makes the counts of a daemon of some version.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		kernel: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "regfs_fuse_request_duration_seconds", Help: "Requests of the kernel, by operation. Warm reads make none.", Buckets: kernelBuckets,
		}, []string{"op"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "regfs_fuse_failures_total", Help: "Requests of the kernel that were answered with an error, by errno. ENOENT is an answer, not a failure.",
		}, []string{"op", "errno"}),
		wire: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "regfs_registry_request_duration_seconds", Help: "Time from a request until the header of its answer, by what was asked for.", Buckets: wireBuckets,
		}, []string{"kind"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "regfs_registry_requests_total", Help: "Requests to the registry, by what was asked for, and the status of the answer; 0 is none.",
		}, []string{"kind", "status"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "regfs_registry_received_bytes_total", Help: "Bytes of the bodies of answers.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "regfs_build_info", Help: "1, with the version of regfs.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(m.kernel, m.failures, m.wire, m.answers, m.received, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Watch adds what a namespace and its cache say of themselves; status is asked
// with every scrape.
func (m *Metrics) Watch(status func() namespace.Status) {
	m.registry.MustRegister(&statusCollector{status})
}

// Operation counts a request of the kernel: see fs.Observer.
func (m *Metrics) Operation(op string, took time.Duration, errno syscall.Errno) {
	m.kernel.WithLabelValues(op).Observe(took.Seconds())
	if errno != 0 && errno != syscall.ENOENT {
		m.failures.WithLabelValues(op, unix.ErrnoName(errno)).Inc()
	}
}

// Exchanged counts a request to the registry.
func (m *Metrics) Exchanged(e registry.Exchange) {
	m.wire.WithLabelValues(e.Kind).Observe(e.Took.Seconds())
	m.answers.WithLabelValues(e.Kind, strconv.Itoa(e.Status)).Inc()
}

// Received counts bytes of answers.
func (m *Metrics) Received(n int) { m.received.Add(float64(n)) }

// Handler gives the counts in the formats of Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
