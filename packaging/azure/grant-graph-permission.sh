#!/bin/sh
# Grant the app's managed identity the one permission it reads with: SecurityEvents.Read.All on Microsoft Graph.
# Usage: grant-graph-permission.sh PRINCIPAL_ID   (the output identityPrincipalId of the deployment)
# Needs the Azure CLI, signed in to the tenant as Privileged Role Administrator or Global Administrator.
set -eu
principal=${1:?usage: grant-graph-permission.sh PRINCIPAL_ID}
permission=SecurityEvents.Read.All
graph_app=00000003-0000-0000-c000-000000000000
case $(az cloud show --query name --output tsv) in
    AzureCloud) graph=https://graph.microsoft.com ;;
    AzureUSGovernment) graph=https://graph.microsoft.us ;; # DoD: set GRAPH=https://dod-graph.microsoft.us
    *) echo "error: Microsoft offers no Secure Score API in this cloud" >&2; exit 1 ;;
esac
graph=${GRAPH:-$graph}

find_one() { az rest --method get --url "$graph/v1.0/$1" --query "$2" --output tsv; }

resource=$(find_one "servicePrincipals(appId='$graph_app')" id)
role=$(find_one "servicePrincipals(appId='$graph_app')" "appRoles[?value=='$permission'].id | [0]")
if [ -z "$resource" ] || [ -z "$role" ]; then
    echo "error: Microsoft Graph or its permission $permission was not found in this tenant" >&2
    exit 1
fi
granted=$(find_one "servicePrincipals/$principal/appRoleAssignments" "value[?appRoleId=='$role'].id | [0]")
if [ -n "$granted" ]; then
    echo "$permission is granted already"
    exit 0
fi
az rest --method post --url "$graph/v1.0/servicePrincipals/$principal/appRoleAssignments" --output none \
    --headers "Content-Type=application/json" \
    --body "{\"principalId\": \"$principal\", \"resourceId\": \"$resource\", \"appRoleId\": \"$role\"}"
echo "$permission is granted. Bring the app's package now, not before: Azure keeps the token of a managed identity for up to"
echo "a day, so an app that has asked for one already goes on being denied until then."
