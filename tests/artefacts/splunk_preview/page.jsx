// One dashboard in Splunk's own renderer, with data already found, and what Splunk's schema says of its definition.
import React from 'react';
import { createRoot } from 'react-dom/client';
import Ajv from 'ajv';
import DashboardCore from '@splunk/dashboard-core';
import { DashboardContextProvider } from '@splunk/dashboard-context';
import { createSchemaBasedOnPresets } from '@splunk/dashboard-definition';
import Preset from '@splunk/dashboard-presets/EnterpriseViewOnlyPreset';
import TestDataSource from '@splunk/datasources/TestDataSource';
import { SplunkThemeProvider } from '@splunk/themes';

// The schema knows the layout of Splunk 10 only; the renderer and every Splunk take the older one, which we ship.
function modern(definition) {
  const { globalInputs, ...layout } = definition.layout;
  const tabs = { items: [{ layoutId: 'layout_1', label: 'all' }] };
  return { ...definition, layout: { globalInputs, tabs, layoutDefinitions: { layout_1: layout } } };
}

const ajv = new Ajv({ allErrors: true, strict: false });
const valid = ajv.validate(createSchemaBasedOnPresets(Preset), modern(window.SHIPPED));
const report = document.createElement('pre');
report.id = 'report';
report.textContent = valid ? 'VALID' : JSON.stringify(ajv.errors.map((e) => [e.instancePath, e.message]), null, 1);
document.body.appendChild(report);

const preset = { ...Preset, dataSources: { ...Preset.dataSources, 'ds.test': TestDataSource } };
createRoot(document.getElementById('root')).render(
  <SplunkThemeProvider family="enterprise" colorScheme={window.SCHEME} density="comfortable">
    <DashboardContextProvider preset={preset} initialDefinition={window.SHOWN}>
      <DashboardCore width="100%" height="auto" />
    </DashboardContextProvider>
  </SplunkThemeProvider>,
);
