package e2e

// The secrets of the tests. None may ever stand in what a command of ours
// writes: see secretsWritten.
const (
	canaryPassword  = "C4N4RY-p4ssw0rd"
	canaryToken     = "C4N4RY-t0k3n"
	canarySignature = "C4N4RY-s1gn4tur3"
)
