//go:build race

package e2e

// underRace is whether the tests, and so the commands too, run with the race
// detector.
const underRace = true
