package e2e

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
)

const (
	gzipLayer   = "application/vnd.oci.image.layer.v1.tar+gzip"
	plainLayer  = "application/vnd.oci.image.layer.v1.tar"
	dockerLayer = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// firstStage is a folder that becomes the first layer of an image, with names of
// all that POSIX allows.
func firstStage() site {
	return site{
		"www/index.html": []byte("first\n"), "www/gone.html": []byte("gone\n"), "www/old/a": []byte("a\n"),
		"www/old/deep/b": []byte("b\n"), "opaque/hidden": []byte("hidden\n"), "kind": []byte("a file\n"),
		"usr/bin/tool": []byte("#!\n"), "empty": {}, "noise.bin": noise(7, 700_000),
		"names/\xff\xfe": []byte("bytes\n"), "names/a\nb": []byte("line\n"), `names/back\slash`: []byte("slash\n"),
		"names/\u202eright": []byte("rtl\n"), "names/A": []byte("A\n"), "names/a": []byte("a\n"),
	}
}

func secondStage() site {
	return site{"www/index.html": []byte("second\n"), "www/new.html": []byte("new\n"), "opaque/shown": []byte("shown\n")}
}

// umociImage makes an image of several layers with whiteouts, opaque folders and
// links in a layout, and pushes it by skopeo with these flags.
func umociImage(t *testing.T, reg *registry, reference string, flags ...string) {
	t.Helper()
	need(t, "umoci", "skopeo")
	dir := newDir(t)
	layout := filepath.Join(dir, "image")
	image := layout + ":v1"
	succeed(t, "", "umoci", "init", "--layout", layout)
	succeed(t, "", "umoci", "new", "--image", image)
	first := firstStage().write(t)
	must(t, os.Link(filepath.Join(first, "www/index.html"), filepath.Join(first, "www/same.html")))
	must(t, os.Symlink("usr/bin", filepath.Join(first, "bin")))
	must(t, os.Symlink("/www/index.html", filepath.Join(first, "home.html")))
	must(t, os.Symlink("../bin/tool", filepath.Join(first, "www/tool")))
	insert := func(args ...string) {
		succeed(t, "", "umoci", append([]string{"insert", "--image", image}, args...)...)
	}
	insert(first, "/")
	insert("--whiteout", "/www/gone.html")
	insert("--whiteout", "/www/old")
	insert("--whiteout", "/kind")
	insert(site{"in": []byte("a folder now\n")}.write(t), "/kind")
	insert("--opaque", filepath.Join(secondStage().write(t), "opaque"), "/opaque")
	insert(filepath.Join(secondStage().write(t), "www"), "/www")
	args := append([]string{"--insecure-policy", "copy", "--dest-tls-verify=false"}, flags...)
	succeed(t, "", "skopeo", append(args, "oci:"+image, "docker://"+reg.host+"/"+reference)...)
}

// unpackImage unpacks what a reference names with umoci, and gives its root.
func unpackImage(t *testing.T, reg *registry, reference string) string {
	t.Helper()
	need(t, "umoci", "skopeo")
	layout := filepath.Join(newDir(t), "layout")
	succeed(t, "", "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "docker://"+reg.host+"/"+reference, "oci:"+layout+":v1")
	return unpack(t, layout)
}

// TestImagesAreTheRootsThatUmociUnpacks takes images of several layers through
// both media types and compares the mount with another implementation.
func TestImagesAreTheRootsThatUmociUnpacks(t *testing.T) {
	reg := startRegistry(t)
	umociImage(t, reg, "layers:oci", "--format=oci")
	umociImage(t, reg, "layers:docker", "--format=v2s2")
	d := mount(t, reg.host)
	for _, tag := range []string{"oci", "docker"} {
		t.Run(tag, func(t *testing.T) {
			compareRoots(t, unpackImage(t, reg, "layers:"+tag), d.path("layers", tag))
		})
	}
}

// TestBuildahsImagesMount has buildah make two layers, the second of which
// removes and replaces, and push them in each compression that it knows. The
// zstd forms, which umoci does not read, have to hold what the gzip form does.
func TestBuildahsImagesMount(t *testing.T) {
	needMount(t)
	need(t, "buildah", "umoci", "skopeo")
	reg := startRegistry(t)
	dir := newDir(t)
	policy := filepath.Join(dir, "policy.json")
	must(t, os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o644))
	buildah := func(args ...string) string {
		t.Helper()
		all := append([]string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}, args...)
		return strings.TrimSpace(succeed(t, "", "buildah", all...))
	}
	c := buildah("from", "scratch")
	first := firstStage()
	delete(first, "names/\xff\xfe") // or no table of contents could be used, see below
	buildah("copy", c, first.write(t), "/")
	buildah("commit", "--quiet", c, "first")
	c = buildah("from", "--pull-never", "first")
	root := buildah("mount", c)
	must(t, os.RemoveAll(filepath.Join(root, "www/old")))
	must(t, os.Remove(filepath.Join(root, "kind")))
	must(t, os.Mkdir(filepath.Join(root, "kind"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "kind/in"), make([]byte, 100_000), 0o644)) // zeros: a hole
	must(t, os.WriteFile(filepath.Join(root, "www/index.html"), []byte("second\n"), 0o644))
	must(t, os.Link(filepath.Join(root, "www/index.html"), filepath.Join(root, "www/same.html")))
	buildah("umount", c)
	buildah("commit", "--quiet", c, "second")
	buildah("rm", "--all")
	// Buildah remembers which forms of a layer a registry has and sends no second
	// one for the same compression, hence another registry for zstd:chunked.
	other := startRegistry(t)
	for _, p := range []struct {
		reg                      *registry
		tag, format, compression string
	}{
		{reg, "gzip", "oci", "gzip"}, {reg, "docker", "docker", "gzip"}, {reg, "zstd", "oci", "zstd"}, {other, "chunked", "oci", "zstd:chunked"},
	} {
		buildah("push", "--quiet", "--signature-policy", policy, "--tls-verify=false", "--format", p.format,
			"--compression-format", p.compression, "second", "docker://"+p.reg.host+"/built:"+p.tag)
	}
	d, lazy := mount(t, reg.host), mount(t, other.host)
	want := unpackImage(t, reg, "built:gzip")
	for _, tag := range []string{"gzip", "docker", "zstd"} {
		compareRoots(t, want, d.path("built", tag))
	}
	compareRoots(t, want, lazy.path("built/chunked"))
	wantLazy(t, other, "built", "chunked")
}

// wantLazy wants the names of a tag to cost no more of its layers than the
// tables of contents, and the files to be right afterwards.
func wantLazy(t *testing.T, reg *registry, repo, tag string) {
	t.Helper()
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host)
	names := list(t, d.path(repo, tag))
	var size int64
	for _, l := range reg.manifest(t, repo, tag).Layers {
		size += l.Size
	}
	if got := bytesOf(relay.since(0, "blobs")); len(names) < 3 || got > size/10 {
		t.Errorf("the %d names of %d bytes of layers cost %d bytes of them", len(names), size, got)
	}
}

// TestArchivesOfEachTarMount packs one folder with each tar and in each of their
// formats.
func TestArchivesOfEachTarMount(t *testing.T) {
	need(t, "tar", "bsdtar")
	reg := startRegistry(t)
	s := firstStage().with(site{"long/" + strings.Repeat("n", 200) + "/" + strings.Repeat("m", 255): []byte("long\n")})
	short := firstStage()
	delete(short, "names/\xff\xfe") // bsdtar wants to know its character set
	dir, shortDir := s.write(t), short.write(t)
	for _, dir := range []string{dir, shortDir} {
		must(t, os.Symlink("www/index.html", filepath.Join(dir, "link")))
		must(t, os.Link(filepath.Join(dir, "noise.bin"), filepath.Join(dir, "zz-noise.bin")))
	}
	for tag, c := range map[string]struct {
		dir, mediaType string
		command        []string
	}{
		"gnu":        {dir, gzipLayer, []string{"tar", "--format=gnu", "-cz"}},
		"pax":        {dir, dockerLayer, []string{"tar", "--format=posix", "-cz"}},
		"ustar":      {shortDir, plainLayer, []string{"tar", "--format=ustar", "-c"}},
		"v7":         {shortDir, plainLayer, []string{"tar", "--format=v7", "-c"}},
		"oldgnu":     {dir, gzipLayer, []string{"tar", "--format=oldgnu", "-cz"}},
		"bsd-pax":    {shortDir, gzipLayer, []string{"bsdtar", "--format=pax", "-cz"}},
		"bsd-ustar":  {shortDir, gzipLayer, []string{"bsdtar", "--format=ustar", "-cz"}},
		"bsd-gnutar": {shortDir, gzipLayer, []string{"bsdtar", "--format=gnutar", "-cz"}},
		"zstd":       {shortDir, "application/vnd.oci.image.layer.v1.tar+zstd", []string{"bsdtar", "--format=pax", "--zstd", "-c"}},
	} {
		out := filepath.Join(newDir(t), "archive")
		pack := exec.Command(c.command[0], append(c.command[1:], "-f", out, "-C", c.dir, ".")...)
		pack.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		must(t, pack.Run())
		archive, err := os.ReadFile(out)
		must(t, err)
		reg.putImage(t, "tars", tag, imageConfig(), ociPart{mediaType: c.mediaType, data: archive})
	}
	d := mount(t, reg.host)
	for _, tag := range []string{"gnu", "pax", "oldgnu"} {
		compareRoots(t, dir, d.path("tars", tag))
	}
	for _, tag := range []string{"ustar", "v7", "bsd-pax", "bsd-ustar", "bsd-gnutar", "zstd"} {
		compareRoots(t, shortDir, d.path("tars", tag))
	}
}

// TestEStargzOfOthersMounts: with the annotation that vouches for its table it is
// read lazily, without it as the tar.gz that it is.
func TestEStargzOfOthersMounts(t *testing.T) {
	reg := startRegistry(t)
	first := firstStage()
	delete(first, "names/\xff\xfe")
	dir, odd := first.write(t), firstStage().write(t)
	blob, toc := estargzOf(t, dir)
	vouched := map[string]string{"containerd.io/snapshot/stargz/toc.digest": toc}
	reg.putImage(t, "stargz", "vouched", imageConfig(), ociPart{mediaType: gzipLayer, data: blob, annotations: vouched})
	reg.putImage(t, "stargz", "plain", imageConfig(), ociPart{mediaType: gzipLayer, data: blob})
	vouched = map[string]string{"containerd.io/snapshot/stargz/toc.digest": "sha256:" + strings.Repeat("0", 64)}
	reg.putImage(t, "stargz", "wrong", imageConfig(), ociPart{mediaType: gzipLayer, data: blob, annotations: vouched})
	// A table cannot say names that are not UTF-8; the archive can.
	blob, toc = estargzOf(t, odd)
	vouched = map[string]string{"containerd.io/snapshot/stargz/toc.digest": toc}
	reg.putImage(t, "stargz", "odd", imageConfig(), ociPart{mediaType: gzipLayer, data: blob, annotations: vouched})
	d := mount(t, reg.host)
	compareRoots(t, dir, d.path("stargz/vouched"))
	compareRoots(t, dir, d.path("stargz/plain"))
	compareRoots(t, odd, d.path("stargz/odd"))
	wantLazy(t, reg, "stargz", "vouched")
	if _, err := os.ReadDir(d.path("stargz/wrong")); err == nil {
		t.Error("a table of contents that is not the one that the manifest vouches for was believed")
	}
}

// estargzOf has the containerd project's library pack a folder, and gives the
// digest of the table of contents too.
func estargzOf(t *testing.T, dir string) (blob []byte, toc string) {
	t.Helper()
	need(t, "tar")
	packed, err := exec.Command("tar", "-c", "-C", dir, ".").Output()
	must(t, err)
	made, err := estargz.Build(io.NewSectionReader(bytes.NewReader(packed), 0, int64(len(packed))), estargz.WithChunkSize(64<<10))
	must(t, err)
	defer made.Close()
	blob, err = io.ReadAll(made)
	must(t, err)
	return blob, made.TOCDigest().String()
}

// TestDockersImagesMount has a Docker engine build an image of several layers,
// one of which removes and replaces, and push it; and has what it saves pushed by
// skopeo.
func TestDockersImagesMount(t *testing.T) {
	once(t) // the engine does the same whatever the tests run under
	needMount(t)
	need(t, "umoci", "skopeo")
	docker := startDocker(t)
	reg := startRegistry(t)
	r := newRootfs(t)
	r.program("rm", "/bin/rm")
	for name, content := range firstStage() {
		r.write(name, content, 0o644)
	}
	for name, content := range secondStage() {
		r.write("second/"+name, content, 0o644)
	}
	image := reg.host + "/docker:pushed"
	docker.image(image, r, `RUN ["/bin/rm", "-r", "/www/old", "/opaque", "/kind"]`+"\n"+`COPY second /`+"\n"+`COPY second /kind/in`+"\n")
	docker.succeed("", "docker", "push", "--quiet", image)
	saved := filepath.Join(newDir(t), "saved.tar")
	docker.succeed("", "docker", "save", "--output", saved, image)
	succeed(t, "", "skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "docker-archive:"+saved, "docker://"+reg.host+"/docker:saved")
	d := mount(t, reg.host)
	for _, tag := range []string{"pushed", "saved"} {
		compareRoots(t, unpackImage(t, reg, "docker:"+tag), d.path("docker", tag))
	}
	for _, name := range []string{"www/old", "opaque/hidden"} {
		if _, err := os.Lstat(d.path("docker/pushed", name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	wantFile(t, d.path("docker/saved/kind/in/www/new.html"), secondStage()["www/new.html"])
}
