{{/* Name of everything: pods are NAME-0, NAME-1, which is who they are in Kafka. */}}
{{- define "driftline.name" -}}
{{- if contains "driftline" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-driftline" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What pods are chosen by: never changes. */}}
{{- define "driftline.selector" -}}
app.kubernetes.io/name: driftline
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "driftline.labels" -}}
{{ include "driftline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "driftline.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* driftline.yaml. What the chart decides is not to be said twice. */}}
{{- define "driftline.config" -}}
{{- $config := .Values.config }}
{{- range $key := list "app" "kafka" "predictions" "outcomes" }}
{{- if not (hasKey $config $key) }}{{ fail (printf "config.%s is missing: config holds driftline.yaml, see the chart's values.yaml and docs/configuration.md" $key) }}{{ end }}
{{- end }}
{{- if hasKey $config "instance" }}{{ fail "config.instance is the pod's name: leave it out" }}{{ end }}
{{- $http := dict "listen" "0.0.0.0:9464" }}
{{- if hasKey $config "http" }}
{{- if hasKey $config.http "listen" }}{{ fail "config.http.listen is written by the chart, which knows the port: leave it out" }}{{ end }}
{{- $http = merge $http $config.http }}
{{- end }}
{{- toYaml (merge (dict "instance" "${POD_NAME}" "http" $http) (omit $config "http")) }}
{{- end }}

{{/* Of pods and containers alike: the Pod Security Standard `restricted`. */}}
{{- define "driftline.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "driftline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* What every container of driftline is given. */}}
{{- define "driftline.given" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
{{- end }}

{{- define "driftline.mounts" -}}
- { name: config, mountPath: /etc/driftline, readOnly: true }
- { name: secrets, mountPath: /run/secrets/driftline, readOnly: true }
{{- end }}

{{- define "driftline.placement" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
