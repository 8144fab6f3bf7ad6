module wirespan.dev/tests/truth/go-old

go 1.21
