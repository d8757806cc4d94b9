// java -cp LIBRARIES Send.java GRPC HTTP COUNT: so many records by each exporter of the SDK and each of its compressions.

import io.opentelemetry.api.logs.Logger;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.export.BatchLogRecordProcessor;
import io.opentelemetry.sdk.logs.export.LogRecordExporter;
import java.util.concurrent.TimeUnit;

public class Send {
    public static void main(String[] arguments) {
        int count = Integer.parseInt(arguments[2]);
        for (String compression : new String[] {"none", "gzip"}) {
            send("grpc", compression, count,
                OtlpGrpcLogRecordExporter.builder().setEndpoint(arguments[0]).setCompression(compression).build());
            send("protobuf", compression, count,
                OtlpHttpLogRecordExporter.builder().setEndpoint(arguments[1] + "/v1/logs").setCompression(compression).build());
        }
    }

    private static void send(String kind, String compression, int count, LogRecordExporter exporter) {
        SdkLoggerProvider provider =
            SdkLoggerProvider.builder().addLogRecordProcessor(BatchLogRecordProcessor.builder(exporter).build()).build();
        Logger logger = provider.get("sdk");
        for (int number = 0; number < count; number++) {
            logger.logRecordBuilder().setBody("java " + kind + " " + compression + " " + number).emit();
        }
        provider.forceFlush().join(10, TimeUnit.SECONDS);
        provider.shutdown().join(10, TimeUnit.SECONDS);
    }
}
