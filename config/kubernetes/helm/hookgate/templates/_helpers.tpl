{{/* A part's templates get a dict: root (the chart's context), part (its values) and component (its name). */}}

{{- define "hookgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "hookgate.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $fullname := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $fullname = default $fullname .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) -}}
{{- fail (printf "no Service can be called %s: set fullnameOverride to a name of small letters, digits and dashes that begins with a letter" $fullname) -}}
{{- end -}}
{{- $fullname -}}
{{- end }}

{{- define "hookgate.part" -}}
{{ include "hookgate.fullname" .root }}-{{ .component }}
{{- end }}

{{/* Never a version here: selectors cannot be changed. */}}
{{- define "hookgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "hookgate.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* `more` are labels of a part's pods. */}}
{{- define "hookgate.labels" -}}
{{ include "hookgate.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: hookgate
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with merge (dict) (default (dict) .more) .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "hookgate.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end }}

{{- define "hookgate.serviceAccountName" -}}
{{- if .part.serviceAccount.create -}}
{{- default (include "hookgate.part" .) .part.serviceAccount.name -}}
{{- else -}}
{{- default "default" .part.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* A setting as text. Helm reads numbers as floating-point ones, and 1000650000 must not become 1.00065e+09. */}}
{{- define "hookgate.plain" -}}
{{- if kindIs "float64" . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end }}

{{/* The pod's part that does not depend on what runs in it. */}}
{{- define "hookgate.podSpec" -}}
serviceAccountName: {{ include "hookgate.serviceAccountName" . | quote }}
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .part.podSecurityContext | nindent 2 }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .part.topologySpreadConstraints }}
  {{- toYaml .part.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- $labels := include "hookgate.selectorLabels" . }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $labels | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "hookgate.serviceAccount" -}}
{{- if .part.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "hookgate.serviceAccountName" . | quote }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "hookgate.labels" . | nindent 4 }}
  {{- with .part.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false # a pod asks for it, or does without
{{- end }}
{{- end }}

{{- define "hookgate.podDisruptionBudget" -}}
{{- if .part.podDisruptionBudget.enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "hookgate.part" . }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "hookgate.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow # one that cannot start must not keep a node from being emptied
  selector:
    matchLabels:
      {{- include "hookgate.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}

{{/* With `port` for everybody or, where they are named, for API servers alone, and health and metrics for Prometheus and `helm test`. */}}
{{- define "hookgate.networkPolicy" -}}
{{- if .part.networkPolicy.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "hookgate.part" . }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "hookgate.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "hookgate.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - ports:
        - {protocol: TCP, port: {{ .port }}}
      {{- with .part.networkPolicy.apiServers }}
      from:
        {{- range . }}
        - ipBlock: {cidr: {{ . | quote }}}
        {{- end }}
      {{- end }}
    - from:
        - namespaceSelector:
            matchLabels: {kubernetes.io/metadata.name: {{ .part.networkPolicy.monitoringNamespace | quote }}}
        - podSelector:
            matchLabels:
              {{- include "hookgate.selectorLabels" (dict "root" .root "component" "test") | nindent 14 }}
      ports:
        - {protocol: TCP, port: 9600}
{{- end }}
{{- end }}

{{- define "hookgate.tlsSecret" -}}
{{- $certificates := .part.certificates -}}
{{- if eq $certificates.kind "secret" -}}
{{- required "injector.certificates.secretName: name the Secret with tls.crt and tls.key" $certificates.secretName -}}
{{- else -}}
{{- default (printf "%s-tls" (include "hookgate.part" .)) $certificates.secretName -}}
{{- end -}}
{{- end }}
