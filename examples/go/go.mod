module noria.example/ask

go 1.22

require github.com/openai/openai-go/v3 v3.44.0
