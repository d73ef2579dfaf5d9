package site

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A kept tree is squeezed: every version has one, and half of it is digests of
// which nothing can be spared, but the other half says little. At its fastest
// zstd takes a millisecond for 2,000 files, beside hashing and writing them.
const (
	// squeezeWindow is how far back zstd looks, in bytes. Names of one folder
	// are near each other; a larger one would only take memory.
	squeezeWindow = 1 << 20
	// maxFlat bounds a tree, in bytes: tree.MaxNodes of them with long names.
	maxFlat = 512 << 20
)

// squeeze appends the squeezed form of a tree. The coder is not kept: it would
// hold some megabytes for something that is done once for each version.
func squeeze(to, flat []byte) []byte {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(squeezeWindow))
	if err != nil {
		panic(err) // the options are wrong
	}
	defer z.Close()
	return z.EncodeAll(flat, to)
}

var unsqueezer = sync.OnceValue(func() *zstd.Decoder {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFlat), zstd.WithDecoderMaxWindow(squeezeWindow))
	if err != nil {
		panic(err) // the options are wrong
	}
	return z
})

func unsqueeze(squeezed []byte) ([]byte, error) { return unsqueezer().DecodeAll(squeezed, nil) }
