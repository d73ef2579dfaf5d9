package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layout is a folder that holds an OCI image layout, made by whatever tool.
type layout struct{ dir string }

func (l layout) indexFile() string { return filepath.Join(l.dir, ocispec.ImageIndexFile) }

// blobFile is where the blob of a digest lies, which must be a parsed one.
func (l layout) blobFile(d digest.Digest) string {
	return filepath.Join(l.dir, ocispec.ImageBlobsDir, string(d.Algorithm()), d.Encoded())
}

// root finds what to push as version, and its bytes. An index.json that names
// one thing names that. Of several it is the one with version as its ref name,
// which some tools write in full (registry/repository:version). Where nothing
// has a ref name index.json is itself the index of the version, as in the
// layouts of the original experiment.
func (l layout) root(version string) (ocispec.Descriptor, []byte, error) {
	var none ocispec.Descriptor
	data, err := readFile(l.indexFile(), MaxManifest)
	if err != nil {
		return none, nil, fmt.Errorf("%s: %w", l.dir, notALayout(err))
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return none, nil, fmt.Errorf("%s: %w", l.indexFile(), err)
	}
	if len(index.Manifests) == 0 {
		return none, nil, fmt.Errorf("%s: names no manifest: nothing to push: %w", l.indexFile(), fs.ErrNotExist)
	}
	if len(index.Manifests) > 1 && !slices.ContainsFunc(index.Manifests, hasRefName) {
		return itself(index, data), data, nil
	}
	desc, err := choose(index.Manifests, version)
	if err != nil {
		return none, nil, fmt.Errorf("%s: %w", l.indexFile(), err)
	}
	data, err = l.manifest(desc)
	return desc, data, err
}

// notALayout says more than that a file is missing.
func notALayout(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no index.json in it: not an OCI image layout: %w", fs.ErrNotExist)
	}
	return err
}

// itself describes index.json as the thing to push.
func itself(index ocispec.Index, data []byte) ocispec.Descriptor {
	mediaType := index.MediaType
	if mediaType == "" {
		mediaType = ocispec.MediaTypeImageIndex
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func hasRefName(d ocispec.Descriptor) bool { return d.Annotations[ocispec.AnnotationRefName] != "" }

func choose(from []ocispec.Descriptor, version string) (ocispec.Descriptor, error) {
	if len(from) == 1 {
		return from[0], nil
	}
	var named []ocispec.Descriptor
	var names []string
	for _, d := range from {
		name := d.Annotations[ocispec.AnnotationRefName]
		if name == version || strings.HasSuffix(name, ":"+version) {
			named = append(named, d)
		}
		if name != "" {
			names = append(names, cut(name))
		}
	}
	switch len(named) {
	case 0:
		return ocispec.Descriptor{}, fmt.Errorf("holds %s and not %s: %w", strings.Join(names[:min(len(names), 10)], ", "), version, fs.ErrNotExist)
	case 1:
		return named[0], nil
	}
	return ocispec.Descriptor{}, fmt.Errorf("%d things are named %s: which one to push is not clear", len(named), version)
}

// manifest reads a manifest's bytes and verifies them. One that the layout
// lacks is an fs.ErrNotExist.
func (l layout) manifest(desc ocispec.Descriptor) ([]byte, error) {
	if err := checkDescriptor(desc); err != nil {
		return nil, fmt.Errorf("%s: %w", l.dir, err)
	}
	file := l.blobFile(desc.Digest)
	data, err := readFile(file, MaxManifest)
	if err != nil {
		return nil, err
	}
	if got := desc.Digest.Algorithm().FromBytes(data); got != desc.Digest || int64(len(data)) != desc.Size {
		return nil, mismatch(file, "the file has %d bytes and the digest %s, not %d and its name", len(data), got, desc.Size)
	}
	return data, nil
}

// open opens a blob for sending: reads of it are verified. One that the layout
// lacks is an fs.ErrNotExist.
func (l layout) open(desc ocispec.Descriptor) (*verifier, error) {
	file := l.blobFile(desc.Digest)
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s: not a regular file", file)
	case info.Size() != desc.Size:
		err = mismatch(file, "the file has %d bytes, not %d", info.Size(), desc.Size)
	case desc.Size == 0 && desc.Digest != desc.Digest.Algorithm().FromBytes(nil): // nobody will read it
		err = mismatch(file, "an empty file does not have the digest %s", desc.Digest)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &verifier{ReadCloser: f, left: desc.Size, digest: desc.Digest, sum: desc.Digest.Verifier(), what: file}, nil
}

func checkDescriptor(d ocispec.Descriptor) error {
	if _, err := digest.Parse(string(d.Digest)); err != nil {
		return fmt.Errorf("a descriptor has the digest %q: %w", cut(string(d.Digest)), err)
	}
	if d.Size < 0 {
		return fmt.Errorf("the descriptor of %s has the size %d", d.Digest, d.Size)
	}
	return nil
}

// readFile reads a file of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: larger than %d bytes", name, limit)
	}
	return data, err
}
