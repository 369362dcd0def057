// OpenAI's client for Go, unchanged: only the address and the key are noria's.
//
//	go mod tidy
//	NORIA_URL=http://127.0.0.1:8600 NORIA_KEY=... go run . "What is a noria?"
//
// NORIA_MODEL is a model or an application; by default the small model of this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	client := openai.NewClient(
		option.WithBaseURL(setting("NORIA_URL", "http://127.0.0.1:8600")+"/v1/"),
		option.WithAPIKey(os.Getenv("NORIA_KEY")),
		option.WithMaxRetries(0),
	)
	model := setting("NORIA_MODEL", "local:smollm2")
	question := "What is a noria?"
	if len(os.Args) > 1 {
		question = os.Args[1]
	}
	messages := []openai.ChatCompletionMessageParamUnion{openai.UserMessage(question)}
	ctx := context.Background()

	// Piece by piece, as it comes.
	stream := client.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
		Model:    model,
		Messages: messages,
	})
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			fmt.Print(choice.Delta.Content)
		}
	}
	if err := stream.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Println()

	// Whole, with the id under which noria has recorded it.
	var response *http.Response
	answer, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
		Model:    model,
		Messages: messages,
	}, option.WithResponseInto(&response))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Choices[0].Message.Content)
	fmt.Println("noria trace show", response.Header.Get("x-noria-trace"))

	// A refusal is the client's own kind of error.
	_, err = client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
		Model:    "no:such",
		Messages: messages,
	})
	var refusal *openai.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.StatusCode, refusal.Code)
	}
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
