// The Prometheus operator's definitions of ServiceMonitor and PrometheusRule; nothing is built. The name is never looked up.
module why502.invalid/definitions

go 1.24.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
