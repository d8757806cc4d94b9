// send GRPC HTTP COUNT: so many records by each exporter of the SDK and each of its compressions.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdk "go.opentelemetry.io/otel/sdk/log"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func send(kind, compression string, count int, exporter sdk.Exporter) {
	background := context.Background()
	provider := sdk.NewLoggerProvider(sdk.WithProcessor(sdk.NewBatchProcessor(exporter)))
	logger := provider.Logger("sdk")
	for number := range count {
		var record log.Record
		record.SetBody(log.StringValue(fmt.Sprintf("go %s %s %d", kind, compression, number)))
		logger.Emit(background, record)
	}
	must(provider.ForceFlush(background))
	must(provider.Shutdown(background))
}

func main() {
	background := context.Background()
	count, err := strconv.Atoi(os.Args[3])
	must(err)
	plain, err := otlploggrpc.New(background, otlploggrpc.WithEndpointURL(os.Args[1]))
	must(err)
	send("grpc", "none", count, plain)
	zipped, err := otlploggrpc.New(background, otlploggrpc.WithEndpointURL(os.Args[1]), otlploggrpc.WithCompressor("gzip"))
	must(err)
	send("grpc", "gzip", count, zipped)
	over, err := otlploghttp.New(background, otlploghttp.WithEndpointURL(os.Args[2]+"/v1/logs"))
	must(err)
	send("protobuf", "none", count, over)
	squeezed, err := otlploghttp.New(background, otlploghttp.WithEndpointURL(os.Args[2]+"/v1/logs"), otlploghttp.WithCompression(otlploghttp.GzipCompression))
	must(err)
	send("protobuf", "gzip", count, squeezed)
}
