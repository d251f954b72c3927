{{- define "homeostat.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "homeostat.labels" -}}
app.kubernetes.io/name: homeostat
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "homeostat.selector" -}}
app.kubernetes.io/name: homeostat
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "homeostat.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "homeostat.secret" -}}
{{ required "existingSecret is needed: kubectl create secret generic NAME --from-literal=HOMEOSTAT_TOKEN=$(openssl rand -hex 32)" .Values.existingSecret }}
{{- end }}

{{/* The user's configuration, with what the chart decides. */}}
{{- define "homeostat.config" -}}
{{- $server := mergeOverwrite (deepCopy (.Values.config.server | default dict)) (dict "host" "0.0.0.0" "port" (int .Values.controlPlane.port)) -}}
{{- $gateway := deepCopy (.Values.config.gateway | default dict) -}}
{{- $gateway = mergeOverwrite $gateway (dict "host" "0.0.0.0" "port" (int .Values.gateway.port)) -}}
{{- $gateway = mergeOverwrite $gateway (dict "log" (printf "http://%s:%d" (include "homeostat.name" .) (int .Values.controlPlane.port)) "log_token_env" "HOMEOSTAT_TOKEN" "spill" (dict "folder" "/spill")) -}}
{{- mergeOverwrite (deepCopy .Values.config) (dict "data" "/var/lib/homeostat" "server" $server "gateway" $gateway) | toYaml }}
{{- end }}

{{- define "homeostat.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "homeostat.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "homeostat.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
