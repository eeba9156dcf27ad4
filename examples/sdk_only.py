"""Google's SDK and nothing else, against local Vertex: submit, wait, look, cancel, list.

Over gRPC; over HTTP with the argument "rest". After `trainwright local up`:

    eval "$(trainwright local env)"
    python -m examples.data churn gs://trainwright-local/data
    python examples/sdk_only.py
"""

import json
import sys
import time
from pathlib import Path

from google.cloud import aiplatform

transport = sys.argv[1] if len(sys.argv) > 1 else "grpc"
aiplatform.init(api_transport=transport)
churn = {
    "display_name": "churn",
    "template_path": "compiled/pipelines/tabular_custom.yaml",
    "pipeline_root": "gs://trainwright-local/pipeline_root",
    "parameter_values": json.loads(Path("pipelines/tabular_custom.churn.json").read_text()),
}
first = aiplatform.PipelineJob(
    **churn, job_id=f"churn-{transport}-{time.time_ns()}", labels={"over": transport}
)
first.submit()
first.wait()
print(f"{first.name}: {first.state.name}, {len(first.task_details)} tasks")

second = aiplatform.PipelineJob(**churn, job_id=f"{first.name}-again", enable_caching=False)
second.submit()
second.cancel()
while not second.done():
    time.sleep(0.2)
print(f"{second.name}: {second.state.name}")

since = first.create_time.isoformat()
for job in aiplatform.PipelineJob.list(filter=f'labels.over="{transport}" AND create_time>="{since}"'):
    print(f"listed: {job.name}")
for model in aiplatform.Model.list(filter='display_name="churn"'):
    print(f"model: {model.display_name}, {model.versioned_resource_name}")
