"""python send.py GRPC HTTP COUNT: so many records by each exporter of the SDK and each of its compressions."""

import sys

import grpc
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor


def send(kind, compression, exporter, count):
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("sdk")
    for number in range(count):
        logger.emit(LogRecord(body=f"python {kind} {compression} {number}"))
    provider.force_flush()
    provider.shutdown()


to_grpc, to_http, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for name, compression in (("none", grpc.Compression.NoCompression), ("gzip", grpc.Compression.Gzip)):
    send("grpc", name, GrpcExporter(endpoint=to_grpc, insecure=True, compression=compression), count)
for name, compression in (("none", Compression.NoCompression), ("gzip", Compression.Gzip), ("deflate", Compression.Deflate)):
    send("protobuf", name, HttpExporter(endpoint=f"{to_http}/v1/logs", compression=compression), count)
