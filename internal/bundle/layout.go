package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regfs/regfs/internal/layer"
	"github.com/regfs/regfs/internal/manifest"
)

// addLayer packs src as a blob, with the help of what is known, if not nil.
func (s *staging) addLayer(ctx context.Context, src layer.PackSource, known layer.Members) (layer.Packed, error) {
	unnamed := filepath.Join(s.dir, "layer")
	var p layer.Packed
	err := writeFile(unnamed, func(f *os.File) (err error) {
		p, err = layer.Pack(ctx, f, src, known)
		return err
	})
	if err != nil {
		return p, err
	}
	return p, os.Rename(unnamed, s.blob(p.Digest))
}

// addDocuments adds all that leads to the layer p of a site with the settings c,
// and gives the digest of the
// index.
func (s *staging) addDocuments(o Options, c manifest.Settings, p layer.Packed) (digest.Digest, error) {
	docs, err := compose(o, c, p)
	if err != nil {
		return "", err
	}
	for _, b := range append(docs.Parts, docs.Index) {
		if err := writeBytes(s.blob(b.Digest), b.Data); err != nil {
			return "", err
		}
	}
	index, err := docs.LayoutIndex(o.Version)
	if err != nil {
		return "", err
	}
	if err := writeBytes(filepath.Join(s.dir, ocispec.ImageIndexFile), index); err != nil {
		return "", err
	}
	mark, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return "", err
	}
	return docs.Index.Digest, writeBytes(filepath.Join(s.dir, ocispec.ImageLayoutFile), mark)
}

func (s *staging) blob(d digest.Digest) string {
	return filepath.Join(s.dir, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func writeBytes(name string, data []byte) error {
	return writeFile(name, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// writeFile creates a file, and returns when its content is on the disk.
func writeFile(name string, write func(*os.File) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// syncFolder returns when the names in dir are on the disk.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// checkReplaceable makes sure that target is a layout, or nothing.
func checkReplaceable(target string) error {
	info, err := os.Lstat(target)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() && isLayout(target) {
		return nil
	}
	return fmt.Errorf("%s is not an OCI image layout, and so not replaced: move it away, or choose another VERSION or --out", target)
}

func isLayout(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, ocispec.ImageLayoutFile))
	if err != nil {
		return false
	}
	var l ocispec.ImageLayout
	if json.Unmarshal(data, &l) != nil || l.Version == "" {
		return false
	}
	_, err = os.Lstat(filepath.Join(dir, ocispec.ImageIndexFile))
	return err == nil
}
