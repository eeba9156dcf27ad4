"""Which models are deployed where, read from the endpoints in the store."""

from google.cloud import aiplatform_v1 as v1

from trainwright.local.store import Store


def deployed_models(store: Store) -> dict[str, list[v1.DeployedModelRef]]:
    """References to the deployed models of all endpoints, by the version that each is: `…/models/ID@N`."""
    found: dict[str, list[v1.DeployedModelRef]] = {}
    for record in store.list("endpoint"):
        endpoint = v1.Endpoint.deserialize(record.payload)
        for deployed in endpoint.deployed_models:
            reference = v1.DeployedModelRef(endpoint=endpoint.name, deployed_model_id=deployed.id)
            found.setdefault(f"{deployed.model}@{deployed.model_version_id}", []).append(reference)
    return found
