// Judges simulations with @cloud-copilot/iam-simulate: one JSON object a line in, one a line out.
import { createInterface } from "node:readline";
import { runSimulation } from "@cloud-copilot/iam-simulate";

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await runSimulation(JSON.parse(line), { simulationMode: "Strict" });
  console.log(JSON.stringify({ kind: answer.resultType, overall: answer.overallResult, errors: answer.errors,
                               ignored: answer.result?.ignoredContextKeys }));
}
