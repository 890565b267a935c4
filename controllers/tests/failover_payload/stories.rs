//! The stories.

pub(crate) mod applying;
pub(crate) mod exclusion;
pub(crate) mod outage;
pub(crate) mod refusal;
pub(crate) mod stopping;

/// A Deployment with its settings.
pub(crate) const WEB: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {colour: red}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: first, image: busybox}]
      containers:
      - name: web
        image: nginx
        env: [{name: MINE, value: $(HELIUM_FENCING_TOKEN)}, {name: HELIUM_FENCE, value: forged}]
";

/// Settings alone.
pub(crate) const SETTINGS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: red}
";
