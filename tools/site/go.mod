// What renders the documents, pinned.
module github.com/coltec/coltec/tools/site

go 1.26.8

require github.com/yuin/goldmark v1.8.7
