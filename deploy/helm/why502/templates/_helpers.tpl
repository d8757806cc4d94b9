{{- define "why502.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "why502.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "why502.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "why502.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "why502.selector" -}}
app.kubernetes.io/name: {{ include "why502.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .Values.mode }}
{{- end -}}

{{- define "why502.labels" -}}
{{ include "why502.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "why502.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "why502.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "why502.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The configuration as it is mounted: with the journal where there is one. */}}
{{- define "why502.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if and .Values.journal.enabled (eq .Values.mode "gateway") -}}
{{- $_ := set $config "journal" (dict "directory" "/var/lib/why502" "max_bytes" .Values.journal.maxBytes) -}}
{{- end -}}
{{ toYaml $config }}
{{- end -}}

{{- define "why502.environment" -}}
- name: MY_POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{- with .Values.extraEnvs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The container of `why502 run`: of the gateway, and of the sidecar. */}}
{{- define "why502.container" -}}
name: why502
image: {{ include "why502.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, --config, /etc/why502/config.yaml]
env:
  {{- include "why502.environment" . | nindent 2 }}
{{- with .Values.extraEnvsFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- range $name, $port := .Values.ports }}
  - {name: {{ $name }}, containerPort: {{ $port }}, protocol: TCP}
  {{- end }}
# All ask whether it lives but the second: a backend that is down ends nobody, and a pod that starts with a full journal is
# no pod that does not start.
startupProbe:
  httpGet: {path: /livez, port: health}
  {{- toYaml .Values.startupProbe | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: health}
  {{- toYaml .Values.readinessProbe | nindent 2 }}
livenessProbe:
  httpGet: {path: /livez, port: health}
  {{- toYaml .Values.livenessProbe | nindent 2 }}
{{- with .Values.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - {name: config, mountPath: /etc/why502, readOnly: true}
  {{- if and .Values.journal.enabled (eq .Values.mode "gateway") }}
  - {name: journal, mountPath: /var/lib/why502}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What stands in every pod beside its containers and volumes. */}}
{{- define "why502.pod" -}}
serviceAccountName: {{ include "why502.serviceAccount" . }}
automountServiceAccountToken: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "why502.podMetadata" -}}
labels:
  {{- include "why502.labels" . | nindent 2 }}
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := deepCopy .Values.podAnnotations -}}
{{- if ne .Values.mode "agent" -}}
{{- $_ := set $annotations "checksum/config" (include "why502.config" . | sha256sum) -}}
{{- end -}}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
