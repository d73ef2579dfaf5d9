package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/regfs/regfs/internal/namespace"
)

// statusCollector turns a status into metrics.
type statusCollector struct{ status func() namespace.Status }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	healthy = describe("regfs_healthy", "1 while nothing is wrong, 0 while the mount is degraded: regfs status says why.")
	tags    = describe("regfs_tags", "Tags that were looked up: good, or with a problem.", "state")
	moves   = describe("regfs_tag_moves_total", "Times that a tag was switched to another version.")

	cacheBytes   = describe("regfs_cache_bytes", "Bytes that the cache takes on the disk.")
	cacheLimit   = describe("regfs_cache_limit_bytes", "Bytes that it may take.")
	cacheHolds   = describe("regfs_cache_contents", "Contents in the cache.")
	cacheReads   = describe("regfs_cache_reads_total", "Reads from the cache, by whether their content was there.", "result")
	cacheDamaged = describe("regfs_cache_damaged_total", "Contents that were dropped because they did not match their digest.")
	cacheRefused = describe("regfs_cache_refused_total", "Contents that found no room.")
	cacheEvicted = describe("regfs_cache_evicted_total", "Contents that made way for others.")
	cacheFreed   = describe("regfs_cache_evicted_bytes_total", "Bytes that eviction freed.")

	companions        = describe("regfs_companions_total", "Files whose gzip form was made, or found to be useless.", "result")
	companionsWaiting = describe("regfs_companions_waiting", "Files whose gzip form is to be made.")
)

// Describe implements prometheus.Collector.
func (c *statusCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		healthy, tags, moves, cacheBytes, cacheLimit, cacheHolds, cacheReads, cacheDamaged, cacheRefused, cacheEvicted, cacheFreed,
		companions, companionsWaiting,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *statusCollector) Collect(to chan<- prometheus.Metric) {
	s := c.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	total := func(d *prometheus.Desc, v int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	problems := 0
	for _, t := range s.Tags {
		if t.Problem != "" {
			problems++
		}
	}
	ok := 0.0
	if s.Healthy {
		ok = 1
	}
	gauge(healthy, ok)
	gauge(tags, float64(len(s.Tags)-problems), "good")
	gauge(tags, float64(problems), "problem")
	total(moves, s.Moves)
	gauge(cacheBytes, float64(s.Cache.Bytes))
	gauge(cacheLimit, float64(s.Cache.Limit))
	gauge(cacheHolds, float64(s.Cache.Files))
	total(cacheReads, s.Cache.Hits, "hit")
	total(cacheReads, s.Cache.Misses, "miss")
	total(cacheDamaged, s.Cache.Damaged)
	total(cacheRefused, s.Cache.Refused)
	total(cacheEvicted, s.Cache.Evicted)
	total(cacheFreed, s.Cache.EvictedBytes)
	total(companions, s.Companions.Made, "made")
	total(companions, s.Companions.Useless, "useless")
	gauge(companionsWaiting, float64(s.Companions.Waiting))
}
