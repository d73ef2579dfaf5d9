package compare

// DocumentVersion is the version of the form of Document.
const DocumentVersion = 1

// Document is a comparison as it is handed out, as JSON. Names that are not
// UTF-8 have U+FFFD in them.
type Document struct {
	Version int  `json:"version"` // DocumentVersion
	From    Side `json:"from"`
	To      Side `json:"to"`
	Result
}

// Side is one of the two versions.
type Side struct {
	Reference string `json:"reference,omitempty"` // what was asked for, if it was a name
	Manifest  string `json:"manifest"`            // digest of the manifest that is the site
}
