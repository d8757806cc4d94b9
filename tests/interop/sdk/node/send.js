// node send.js GRPC HTTP COUNT: so many records by each exporter of the SDK and each of its compressions.
const { LoggerProvider, BatchLogRecordProcessor } = require("@opentelemetry/sdk-logs");
const { CompressionAlgorithm } = require("@opentelemetry/otlp-exporter-base");

const [grpc, http, count] = process.argv.slice(2);
const kinds = {
  grpc: [require("@opentelemetry/exporter-logs-otlp-grpc"), grpc],
  protobuf: [require("@opentelemetry/exporter-logs-otlp-proto"), `${http}/v1/logs`],
  json: [require("@opentelemetry/exporter-logs-otlp-http"), `${http}/v1/logs`],
};

async function send(kind, compression) {
  const [{ OTLPLogExporter }, url] = kinds[kind];
  const exporter = new OTLPLogExporter({ url, compression });
  const provider = new LoggerProvider({ processors: [new BatchLogRecordProcessor({ exporter, scheduledDelayMillis: 100 })] });
  const logger = provider.getLogger("sdk");
  for (let number = 0; number < Number(count); number++) {
    logger.emit({ body: `node ${kind} ${compression} ${number}`, attributes: { number } });
  }
  await provider.forceFlush();
  await provider.shutdown();
}

(async () => {
  for (const kind of Object.keys(kinds)) {
    for (const compression of [CompressionAlgorithm.NONE, CompressionAlgorithm.GZIP]) await send(kind, compression);
  }
})();
