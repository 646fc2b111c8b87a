# Deploys azuredeploy.json, the one template of the app, from Terraform. Every parameter of that template may be given;
# these are the ones to think about. The next steps: ../README.md, Deploy.
terraform {
  required_version = ">= 1.5"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.0"
    }
  }
}

provider "azurerm" {
  features {}
}

variable "resource_group_name" {
  type        = string
  description = "Resource group of the app; it must exist."
}

variable "workspace_resource_id" {
  type        = string
  description = "Resource id of the Log Analytics workspace of Microsoft Sentinel, or the word new."
}

variable "workspace_location" {
  type        = string
  description = "Region of that workspace."
}

variable "tenant_name" {
  type        = string
  default     = "home"
  description = "Name of this tenant in the events."
}

variable "private_networking" {
  type        = bool
  default     = false
  description = "Storage and key vault through private endpoints only; register Microsoft.App first."
}

resource "azurerm_resource_group_template_deployment" "connector" {
  name                = "secure-score-connector"
  resource_group_name = var.resource_group_name
  deployment_mode     = "Incremental"
  template_content    = file("${path.module}/../azuredeploy.json")
  parameters_content = jsonencode({
    workspaceResourceId = { value = var.workspace_resource_id }
    workspaceLocation   = { value = var.workspace_location }
    tenantName          = { value = var.tenant_name }
    privateNetworking   = { value = var.private_networking }
  })
}

locals {
  outputs = jsondecode(azurerm_resource_group_template_deployment.connector.output_content)
}

output "identity_principal_id" {
  value = local.outputs.identityPrincipalId.value
}

output "deploy_package" {
  value = local.outputs.deployPackage.value
}

output "status_url" {
  value = local.outputs.statusUrl.value
}
