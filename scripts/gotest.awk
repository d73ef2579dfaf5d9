# Reads what "go test -v" says and passes on what somebody reads: the closing
# line of each package, and all of a package that failed. A skipped test is a
# failure here: make test is there to run everything.

/^=== (RUN|PAUSE|CONT|NAME) / { next }
/^ *--- PASS: / { passed++; next }
/^ *--- SKIP: / { skipped++; print said; print; next }
/^\?? *\t.*\[no test files\]$/ { next }
/^ok  \t/ { print; fflush(); text = ""; next }
/^FAIL\t/ { printf "%s", text; print; fflush(); text = ""; next }
{ said = $0; text = text $0 "\n" }

END {
	if (text !~ /^(FAIL\n)?$/) printf "%s", text
	printf "%d tests and subtests passed, %d skipped\n", passed, skipped
	exit skipped > 0
}
