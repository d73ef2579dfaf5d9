package registry

import (
	"io"

	"github.com/opencontainers/go-digest"
)

// verifier reads exactly left bytes, which have the digest where one is known.
type verifier struct {
	io.ReadCloser
	left   int64
	digest digest.Digest
	sum    digest.Verifier // nil: only count
	what   string
	lied   func() // if not nil: called when the bytes have another digest
	err    error  // sticky
}

func (v *verifier) Read(p []byte) (int, error) {
	switch {
	case v.err != nil:
		return 0, v.err
	case v.left == 0:
		v.err = v.finish()
		return 0, v.err
	}
	n, err := v.ReadCloser.Read(p[:min(int64(len(p)), v.left)])
	v.left -= int64(n)
	if v.sum != nil {
		_, _ = v.sum.Write(p[:n]) // a hash takes everything
	}
	switch {
	case err == io.EOF && v.left > 0:
		v.err = mismatch(v.what, "it ends %d bytes too early", v.left)
	case err == io.EOF:
		v.err = v.verdict()
	case err != nil:
		v.err = err
	}
	return n, v.err
}

// finish looks for the end of the body, which also is what frees the
// connection for the next request.
func (v *verifier) finish() error {
	var more [1]byte
	n, err := io.ReadFull(v.ReadCloser, more[:])
	switch {
	case n > 0:
		return mismatch(v.what, "it is longer than it should be")
	case err != io.EOF:
		return err
	}
	return v.verdict()
}

// verdict is what is returned in place of io.EOF.
func (v *verifier) verdict() error {
	if v.sum != nil && !v.sum.Verified() {
		if v.lied != nil {
			v.lied()
		}
		return mismatch(v.what, "the content does not have the digest %s", v.digest)
	}
	return io.EOF
}
