package main

import "strings"

// whys are the causes that were found of rows that do not reach their aim, by
// measuring: profiles of the daemon (pprof), counts of what the kernel asks it,
// and runs in which a part was left out. What is said holds for the table as it
// is; whoever changes what it is about measures again.
var whys = []struct{ id, subject, why string }{
	{"W1", "", whyWarm}, {"W2", "", whyWarm}, {"W3", "", whyWarm}, {"W4", "", whyWarm},
	{"C1", "0s", whyTable}, {"C2", "0s", whyWhole}, {"C3", "", whyListing},
	{"C4", "", `processor time, and a question of the kernel for each read, as tar asks for one after the other. Of 8,002 files,
read in 0.9 s on a quiet machine (curl and gunzip: 0.65 s), the daemon takes 0.79 s of processor time, tar and its pipe 0.33 and the
registry 0.15, on 1.4 of the two cores. Tar waits for no bytes, but for 25 of the first 100 ms: what it waits for are the answers to
9,802 reads, the kernel's second one of a file of more than some 16 kB among them. With all of it in the cache they take 0.64 s, and 0.5
with tar and the daemon held on one core: to wake the other one, where it is idle, takes 23 µs here, twice a read (perf bench sched
pipe: 46 µs a round, on one core 4). perf of the daemon: a third is inflating, a tenth comparing with digests, a tenth keeping, a quarter
the messages of the kernel. Fetching further ahead than 8 MiB changes nothing, unpacking on both cores takes longer, since tar needs
one, and GOMAXPROCS 3 or 4 makes no difference. Putting files into the page cache before they are asked for spares three in four
of the questions, and was left out: a daemon that is killed in the middle of it can hang for ever.`},
	{"F2", "idle", `the two processors, on which who makes up the names runs too: made up at a folder on ext4 they cost a visitor nearly as
much (a row below), and where others use the machine the figure wanders from run to run. perf sched, the slowest hundredth of a page's
answers (0.8 ms): half of the time nginx's worker has the request and waits for a processor, a seventh the visitor does; a fifth the
worker spends on others, and a sixth in the kernel, waiting for the daemon to say that it does not know an unknown name.`},
	{"P2", "", `every file is read again, since the digest of the whole tar stream has to be made anew whatever changed. pprof
and strace -c, 8,000 files: a third of the processor time is opening, reading and closing them, a third SHA-256 (of the contents, of
the stream, of the blob), a fifth compressing the changed members and the table of contents. P1, beside which it stands, is itself 0.3.`},
	{"P3", "", `six steps, one after the other, where curl makes four: connecting, whether the blob is there, where to put it, the
blob, the manifests of what the index names, the tag. (curl connects twice.) strace of upload, 20 ms: each step takes 28 ms, 20 of the
network and 8 of the registry. Asking where to put a blob before it is known whether it is there would save one, and leave an upload
behind at the registry for each blob that is.`},
}

// The causes of several rows.
const (
	whyWhole = `what is done between the three requests, which are those of curl. On a quiet machine the tag takes 5 ms (two
requests, the table of contents, the tree), a file 3 ms (one request, for all of a site below 16 MiB; the file is given when its own
member is decompressed, verified and kept), and each is a question of the kernel that wakes the daemon; all of curl takes 4 ms.`
	whyWarm = `the kernel's part of opening a file. Next to no request reaches the daemon (last column), and nginx takes 1 to
3 µs more of processor time for an answer (19 beside 17 for W1). perf of a worker, one page: close takes 0.9 µs beside 0.4 on ext4, most
of it fuse_release, open 1.8 beside 1.5, walking the path 0.5 beside 0.3. What does reach the daemon are reads of pages that the kernel
took back from the page cache, of the folder on ext4 as well: this machine has DAMON page out what it finds idle, a few hundred pages
every five seconds (mincore), with 22 GB of memory free.`
	whyTable = `reading the table of contents, which curl only transfers: 1.0 µs a file (BenchmarkReadTOC), on two cores,
decompressing and hashing on the one, JSON and the tree on the other, in like parts (perf); 66 MB of JSON for 200,000 files. An index
that needs no parsing would have to come from the registry in a form that no other reader of eStargz knows.`
	whyListing = `the table of contents, not the listing. Of 200,000 files, 290 ms: the listing takes 110 ms, beside 85 to 100 ms on
ext4 (the daemon 9 ms of it, in 602 requests), and making the tree 178. perf, and the time for which each side waited for the other:
56 MB of JSON are decompressed and hashed in 130 ms on the one core, and parsed and put into the tree in 115 on the other, at the same
time (neither waits more than 30 ms), which takes 145; then 25 to sort it. Curl only transfers the 10 MB. On two cores all of that
cannot be done in the 90 ms that the aim leaves.`
)

// why is what was found about a row.
func (r row) why() string {
	for _, w := range whys {
		if w.id == r.id && strings.Contains(r.what, w.subject) {
			return strings.Join(strings.Fields(w.why), " ")
		}
	}
	return ""
}
