// Deploys azuredeploy.json, the one template of the app, from Bicep: az deployment group create --template-file main.bicep
// Every parameter of that template may be given; these are the ones to think about. The next steps: ../README.md, Deploy.
targetScope = 'resourceGroup'

@description('Resource id of the Log Analytics workspace of Microsoft Sentinel, or the word new.')
param workspaceResourceId string

@description('Region of that workspace.')
param workspaceLocation string = resourceGroup().location

@description('Name of this tenant in the events.')
param tenantName string = 'home'

@description('Storage and key vault through private endpoints only; register Microsoft.App first.')
param privateNetworking bool = false

@description('Tags of every resource made.')
param tags object = {}

module connector '../azuredeploy.json' = {
  name: 'secure-score-connector'
  params: {
    workspaceResourceId: workspaceResourceId
    workspaceLocation: workspaceLocation
    tenantName: tenantName
    privateNetworking: privateNetworking
    tags: tags
  }
}

output identityPrincipalId string = connector.outputs.identityPrincipalId
output deployPackage string = connector.outputs.deployPackage
output statusUrl string = connector.outputs.statusUrl
