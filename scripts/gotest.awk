# Reads what "go test -v" says and passes on what somebody reads: the closing
# line of each package, and all of a package that failed. A skipped test is a
# failure here: make test is there to run everything. Only with short=1 may those
# be skipped that say "once: …": another run has them.

/^=== (RUN|PAUSE|CONT|NAME) / { next }
/^ *--- PASS: / { passed++; next }
/^ *--- SKIP: / && short && said ~ /: once: / { elsewhere++; next }
/^ *--- SKIP: / { skipped++; print said; print; next }
/^\?? *\t.*\[no test files\]$/ { next }
/^ok  \t/ { print; fflush(); text = ""; next }
/^FAIL\t/ { printf "%s", text; print; fflush(); text = ""; next }
{ said = $0; text = text $0 "\n" }

END {
	if (text !~ /^(FAIL\n)?$/) printf "%s", text
	printf "%d tests and subtests passed, %d skipped\n", passed, skipped
	if (elsewhere) printf "%d more are long and were left to the plain run\n", elsewhere
	exit skipped > 0
}
