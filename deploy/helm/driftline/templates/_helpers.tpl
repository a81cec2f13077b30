{{/* Name of everything: pods are NAME-0, NAME-1, which is who they are in Kafka. Rules look for `driftline` in it. */}}
{{- define "driftline.name" -}}
{{- $name := contains "driftline" .Release.Name | ternary .Release.Name (printf "%s-driftline" .Release.Name) }}
{{- if or (gt (len $name) 50) (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name)) }}{{ fail (printf "the release would name everything %q: at most 50 lower-case letters, digits and hyphens, a letter first" $name) }}{{ end }}
{{- $name }}
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

{{/* driftline.yaml, as it is written: a text, because Helm would read `yes` as a truth value and `1.0` as 1. */}}
{{- define "driftline.config" -}}
{{- $config := .Values.config }}
{{- if not $config }}{{ fail "config is missing: the text of driftline.yaml (--set-file config=driftline.yaml), see the chart's values.yaml and docs/configuration.md" }}{{ end }}
{{- range $key := list "app" "kafka" "predictions" "outcomes" }}
{{- if not (regexMatch (printf "(?m)^%s:" $key) $config) }}{{ fail (printf "config has no `%s:`: it holds driftline.yaml, see docs/configuration.md" $key) }}{{ end }}
{{- end }}
{{- if not (regexMatch "(?m)^instance: *[\"']?\\$\\{POD_NAME\\}" $config) }}{{ fail "config needs the line `instance: \"${POD_NAME}\"`: a pod's name is who it is in Kafka" }}{{ end }}
{{- if not (regexMatch "listen: *[\"']?(0\\.0\\.0\\.0|\\[::\\]):9464" $config) }}{{ fail "config needs the line `http: { listen: \"0.0.0.0:9464\" }`: probes and Prometheus ask there" }}{{ end }}
{{- $config }}
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
